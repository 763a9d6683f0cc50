"""Log file of the engine process: rotating, readable only by its user, without secrets.

Each line is a JSON object (`log_record.LogEntry`).
"""

from __future__ import annotations

import logging
import logging.handlers
import os
from datetime import datetime
from pathlib import Path

from tui_forward.common import paths
from tui_forward.common.logging_levels import RedactingFormatter, install_handler
from tui_forward.common.private_files import ensure_private_dirs, open_private_file
from tui_forward.common.redaction import redact, redact_lines
from tui_forward.daemon.log_record import LogEntry, encode_entry

_MAX_BYTES = 1024 * 1024
_BACKUPS = 3
_MAX_LINE = 8000


class JsonFormatter(logging.Formatter):
    """Formats records as JSON lines and removes whatever looks like a secret."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON line of a record, including its traceback."""
        traceback = self.formatException(record.exc_info) if record.exc_info else ""
        time = datetime.fromtimestamp(record.created).astimezone()
        return encode_entry(
            LogEntry(
                time=time.isoformat(timespec="milliseconds"),
                level=record.levelname.lower(),
                logger=record.name,
                message=redact(record.getMessage(), limit=_MAX_LINE),
                process=record.process or 0,
                exception=redact_lines(traceback, limit=_MAX_LINE),
            )
        )


class _PrivateRotatingFileHandler(logging.handlers.RotatingFileHandler):
    def _open(self):  # type: ignore[no-untyped-def]  # the base class's type is not public
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = open_private_file(Path(self.baseFilename), flags)
        return os.fdopen(descriptor, "a", encoding="utf-8")


def log_file(socket: Path) -> Path:
    """Return the log file of the engine that serves a socket in the background."""
    return paths.logs_dir() / f"{socket.stem}.log"


def log_to_file(path: Path, *, level: int = logging.INFO) -> None:
    """Send all log records to a file, and none to the standard streams."""
    ensure_private_dirs(path.parent)
    handler = _PrivateRotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=_BACKUPS)
    handler.setFormatter(JsonFormatter())
    install_handler(handler, level)


def log_nowhere(*, level: int = logging.INFO) -> None:
    """Drop all log records, for lack of a file."""
    install_handler(logging.NullHandler(), level)


def log_to_stderr(*, level: int = logging.INFO) -> None:
    """Send all log records to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter())
    install_handler(handler, level)
