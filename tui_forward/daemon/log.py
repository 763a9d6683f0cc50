"""The engine process's log: a file that rotates, that only its user may read, without secrets.

Each line of it is an object of JSON (`logline.LogLine`).
"""

from __future__ import annotations

import logging
import logging.handlers
import os
from datetime import datetime
from pathlib import Path

from tui_forward.common import paths as paths
from tui_forward.common.redaction import redact
from tui_forward.daemon.log_record import LogEntry, encode_entry

_SIZE = 1024 * 1024
_KEPT = 3
_LONGEST_RECORD = 8000


class RedactingFormatter(logging.Formatter):
    """Formats as usual, then takes out whatever looks like a secret, line by line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record, its traceback included."""
        text = super().format(record)
        return "\n".join(redact(line, limit=_LONGEST_RECORD) for line in text.splitlines())


class JsonFormatter(logging.Formatter):
    """Makes a line of JSON of a record, and takes out whatever looks like a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """One record, its traceback included."""
        failed = self.formatException(record.exc_info) if record.exc_info else ""
        at = datetime.fromtimestamp(record.created).astimezone()
        return encode_entry(
            LogEntry(
                time=at.isoformat(timespec="milliseconds"),
                level=record.levelname.lower(),
                logger=record.name,
                message=redact(record.getMessage(), limit=_LONGEST_RECORD),
                process=record.process or 0,
                exception="\n".join(
                    # The blanks at the left are how a traceback is read.
                    line[: len(line) - len(line.lstrip())] + redact(line, limit=_LONGEST_RECORD)
                    for line in failed.splitlines()
                ),
            )
        )


class _PrivateFile(logging.handlers.RotatingFileHandler):
    def _open(self):  # type: ignore[no-untyped-def]  # the base class's type is not public
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")


def log_file(socket: Path) -> Path:
    """The log of the engine that serves a socket in the background."""
    return paths.logs_dir() / f"{socket.stem}.log"


def log_to_file(path: Path, *, level: int = logging.INFO) -> None:
    """Send everything that is logged to a file, and nothing to the standard streams.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handler = _PrivateFile(path, maxBytes=_SIZE, backupCount=_KEPT)
    handler.setFormatter(JsonFormatter())
    _install(handler, level)


def to_stderr(*, level: int = logging.INFO) -> None:
    """Send everything that is logged to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    _install(handler, level)


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # It counts every change it sees, ours and others'.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    logging.captureWarnings(True)
