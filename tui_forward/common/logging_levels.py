"""Log levels of the program, and the one handler that its processes log to.

Modules log through `logging.getLogger(__name__)`. Entry points choose a handler and a level.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final

from tui_forward.common.redaction import redact_lines

TRACE: Final = 5
"""Below `logging.DEBUG`: frames and requests, without secrets and without payload."""

LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_PACKAGE = "tui_forward"
_WATCHFILES = "watchfiles"
_MAX_LINE = 8000
_TRACEBACKS = logging.Formatter()

logging.addLevelName(TRACE, "TRACE")


class RedactingFormatter(logging.Formatter):
    """Formats records as text and removes whatever looks like a secret, line by line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record, including its traceback."""
        return redact_lines(super().format(record), limit=_MAX_LINE)


def redact_records() -> None:
    """Remove secrets from all records of the package when they are made. Idempotent.

    For a program that uses the package as a library, and has handlers of its own. Without any, it
    gets no records.
    """
    logger = logging.getLogger(_PACKAGE)
    make_record = logging.getLogRecordFactory()
    if any(isinstance(one, logging.NullHandler) for one in logger.handlers):
        return
    logger.addHandler(logging.NullHandler())

    def make_redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        if record.name.partition(".")[0] == _PACKAGE:
            record.msg = redact_lines(record.getMessage(), limit=_MAX_LINE)
            record.args = None
            if record.exc_info:
                traceback = _TRACEBACKS.formatException(record.exc_info)
                # What formatters use if it is set.
                record.exc_text = redact_lines(traceback, limit=_MAX_LINE)
        return record

    logging.setLogRecordFactory(make_redacted_record)


def install_handler(handler: logging.Handler, level: int) -> None:
    """Make `handler` the only one, and log this package's records from `level` on.

    Libraries log from INFO on at most: at DEBUG the Kubernetes client logs response bodies, which
    may contain secrets.
    """
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(level, logging.INFO))
    logging.getLogger(_PACKAGE).setLevel(level)
    # watchfiles logs every change it sees at INFO.
    logging.getLogger(_WATCHFILES).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


@contextlib.contextmanager
def temporary_handler(handler: logging.Handler, level: int) -> Iterator[None]:
    """Install a handler as `install_handler` does, and restore the earlier ones at the end."""
    root = logging.getLogger()
    loggers = [root, logging.getLogger(_PACKAGE), logging.getLogger(_WATCHFILES)]
    handlers, levels = list(root.handlers), [logger.level for logger in loggers]
    install_handler(handler, level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for logger, old in zip(loggers, levels, strict=True):
            logger.setLevel(old)
        logging.captureWarnings(False)
