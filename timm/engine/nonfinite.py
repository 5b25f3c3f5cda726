# pyright: strict
"""What a run does about an update whose loss or gradients are no numbers."""

import json
import logging

from .exits import NonFiniteError
from .run import Run
from .state import restore_weights

__all__ = ['meet_nonfinite']

_logger = logging.getLogger(__name__)
_MOST_IN_A_ROW = 10
_SHOWN = 3


def meet_nonfinite(run: Run, error: NonFiniteError) -> None:
    """Note which samples the refused update was made of; then stop, go on after it, or go on with older weights.

    A rollback takes weights, average and optimizer from the newest checkpoint, and goes on after the refused batch:
    what came between is not seen again, as in PaLM (Chowdhery et al., 2022, arXiv:2204.02311, section 5.1).

    Raises:
        NonFiniteError: The run is to stop, or this has happened too often in a row.
    """
    progress = run.progress
    files = [file for files in run.world.gather(run.train.files_of(progress.epoch, progress.done)) for file in files]
    message = f'{error}; its samples: {", ".join(files[:_SHOWN])}'
    if len(files) > _SHOWN:
        message += f' and {len(files) - _SHOWN} more'
    if run.folder is not None and run.world.primary:
        path = run.folder / 'nonfinite.jsonl'
        row = {'epoch': progress.epoch, 'update': progress.update, 'cause': str(error), 'samples': files}
        try:
            with path.open('a', encoding='utf-8') as lines:
                lines.write(json.dumps(row) + '\n')
            message += f' (all of them in {path})'
        except OSError as problem:
            _logger.warning('cannot write %s: %s', path, problem.strerror)
    progress.skips += 1
    if run.nonfinite == 'stop':
        raise NonFiniteError(message) from error
    if progress.skips > _MOST_IN_A_ROW:
        raise NonFiniteError(f'{progress.skips} updates in a row were refused: {message}') from error
    if run.nonfinite == 'rollback':
        message += f'; the weights are those of {restore_weights(run)} again'
    _logger.warning('update %d is left out: %s', progress.update, message)
