"""Export to ONNX, and running what was exported."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ['onnx_export', 'onnx_forward']

CHECK_TOLERANCE = 1e-3


def _import(name: str) -> ModuleType:
    """Import an optional package.

    Raises:
        ImportError: It is missing; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f'This needs the package {name}: pip install onnx onnxruntime onnxscript.') from error


def onnx_forward(onnx_file: str, example_input: Tensor) -> Any:
    """First output, as an array, of the model in `onnx_file` for one input.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    runtime = _import('onnxruntime')
    session = runtime.InferenceSession(onnx_file, runtime.SessionOptions(), providers=['CPUExecutionProvider'])
    return session.run([], {session.get_inputs()[0].name: example_input.detach().cpu().numpy()})[0]


def onnx_export(
    model: nn.Module,
    output_file: str,
    example_input: Tensor | None = None,
    training: bool = False,
    verbose: bool = False,
    check: bool = True,
    check_forward: bool = False,
    batch_size: int = 64,
    input_size: Sequence[int] | None = None,
    opset: int | None = None,
    dynamic_size: bool = False,
    aten_fallback: bool = False,
    keep_initializers: bool | None = None,
    use_dynamo: bool = False,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    external_data: bool | None = None,
    optimize: bool = True,
) -> None:
    """Write `model` as ONNX with a batch size that may vary.

    Args:
        example_input: What the model is traced with; made up from `batch_size` and `input_size` when None.
        training: Keep dropout and batch statistics in the graph.
        check: Let the onnx package check the file.
        check_forward: Compare the file's output with the model's.
        input_size: (C, H, W); None is that of the model's `default_cfg`.
        opset: None is the exporter's own choice.
        dynamic_size: Height and width may vary too.
        aten_fallback: Leave operations that ONNX lacks as ATen calls.
        keep_initializers: List weights among the inputs.
        use_dynamo: Export by torch.export instead of by tracing.
        input_names: None is 'input0'.
        output_names: None is 'output0'.
        external_data: Keep weights in a second file; None leaves it to the exporter.
        optimize: Fold and remove what is superfluous (torch.export).

    Raises:
        ImportError: An ONNX package is not installed.
        ValueError: The input size is not known.
        RuntimeError: The file's output is not the model's.
    """
    _import('onnx')
    if example_input is None:
        example_input = torch.randn((batch_size, *_input_size(model, input_size)))
    names = dict(input_names=list(input_names or ('input0',)), output_names=list(output_names or ('output0',)))
    axes = {0: 'batch', **({2: 'height', 3: 'width'} if dynamic_size else {})}
    model.train(training)
    with torch.no_grad():
        expected = model(example_input)  # also lets modules that pad for their input settle
    if use_dynamo:
        kwargs = _dynamo_args(axes, optimize, external_data)
    else:
        kwargs = _tracing_args(axes, names, training, aten_fallback, keep_initializers)
    torch.onnx.export(model, (example_input,), output_file, verbose=verbose, opset_version=opset, **names, **kwargs)
    if check:
        _import('onnx').checker.check_model(output_file, full_check=True)
    if check_forward and not training:
        _compare(expected, onnx_forward(output_file, example_input), output_file)


def _dynamo_args(axes: dict[int, str], optimize: bool, external_data: bool | None) -> dict[str, Any]:
    """Arguments for the exporter that goes by torch.export."""
    kwargs: dict[str, Any] = dict(dynamo=True, optimize=optimize)
    kwargs['dynamic_shapes'] = (dict.fromkeys(axes, torch.export.Dim.DYNAMIC),)
    if external_data is not None:
        kwargs['external_data'] = external_data
    return kwargs


def _tracing_args(
    axes: dict[int, str],
    names: dict[str, list[str]],
    training: bool,
    aten_fallback: bool,
    keep_initializers: bool | None,
) -> dict[str, Any]:
    """Arguments for the exporter that goes by tracing."""
    modes, fallbacks = torch.onnx.TrainingMode, torch.onnx.OperatorExportTypes
    return dict(
        dynamo=False,
        training=modes.TRAINING if training else modes.EVAL,
        operator_export_type=fallbacks.ONNX_ATEN_FALLBACK if aten_fallback else fallbacks.ONNX,
        keep_initializers_as_inputs=keep_initializers,
        dynamic_axes={names['input_names'][0]: axes, names['output_names'][0]: {0: 'batch'}},
    )


def _input_size(model: nn.Module, input_size: Sequence[int] | None) -> tuple[int, ...]:
    """(C, H, W) to export for."""
    if input_size is None:
        cfg = getattr(model, 'default_cfg', None)
        input_size = cfg.get('input_size') if isinstance(cfg, dict) else None
    if input_size is None:
        raise ValueError(f'{type(model).__name__} has no default_cfg: give input_size=(C, H, W) or example_input.')
    return tuple(input_size)


def _compare(expected: Tensor, found: Any, output_file: str) -> None:
    """Raise RuntimeError unless both are the same to three decimals."""
    difference = (expected - torch.from_numpy(found)).abs().max().item()
    if not difference <= CHECK_TOLERANCE:
        raise RuntimeError(
            f'{Path(output_file).name} gives outputs up to {difference:.2g} off the model it was made of.'
        )
