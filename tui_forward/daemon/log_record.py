"""Format of a line in the engine's log file, for its writer and its readers."""

from __future__ import annotations

import msgspec

from tui_forward.common.printable import escape_json


class LogEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One log record; a line of JSON in the file."""

    time: str  # RFC 3339, in milliseconds, in the machine's time zone
    level: str  # "trace", "debug", "info", "warning", "error" or "critical"
    logger: str
    message: str  # one line
    process: int = 0  # process id; two engines write to one file during a handover
    exception: str = ""  # traceback, or ""


_decoder = msgspec.json.Decoder(LogEntry)


def encode_entry(entry: LogEntry) -> str:
    """Return the line of an entry, without its line end."""
    return escape_json(msgspec.json.encode(entry)).decode()


def decode_entry(data: bytes) -> LogEntry | None:
    """Return the entry of a line, or None if the line is not one."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
