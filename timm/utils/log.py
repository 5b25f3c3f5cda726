"""Logging to the console and to a file."""

import logging
import logging.handlers

__all__ = ['FormatterNoInfo', 'setup_default_logging']

FILE_BYTES = 2 * 1024 * 1024
FILE_COUNT = 3


class FormatterNoInfo(logging.Formatter):
    """Puts the level in front of a message unless it is INFO."""

    def __init__(self, fmt: str = '%(levelname)s: %(message)s') -> None:
        super().__init__(fmt)

    def format(self, record: logging.LogRecord) -> str:
        return str(record.getMessage()) if record.levelno == logging.INFO else super().format(record)


def setup_default_logging(default_level: int = logging.INFO, log_path: str = '') -> None:
    """Log to the console, and with `log_path` to a file that is rotated at 2 MB.

    A second call replaces the handlers of the first.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        if getattr(handler, 'timm_default', False):
            root.removeHandler(handler)
            handler.close()
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    handlers[0].setFormatter(FormatterNoInfo())
    if log_path:
        handlers.append(logging.handlers.RotatingFileHandler(log_path, maxBytes=FILE_BYTES, backupCount=FILE_COUNT))
        handlers[1].setFormatter(logging.Formatter('%(asctime)s - %(name)20s: [%(levelname)8s] - %(message)s'))
    for handler in handlers:
        handler.timm_default = True  # pyright: ignore[reportAttributeAccessIssue]
        root.addHandler(handler)
    root.setLevel(default_level)
