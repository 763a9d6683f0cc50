"""What a line of the engine's log holds, for who writes it and who reads it."""

from __future__ import annotations

import msgspec


class LogEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was logged; a line of JSON in the file.

    Attributes:
        time: RFC 3339, in milliseconds, in the zone of the machine.
        level: "info", "warning", …
        logger: What part of the program.
        message: In one line.
        process: The one that wrote it: two may, while one takes the other's place.
        exception: A traceback, if there was one.
    """

    time: str
    level: str
    logger: str
    message: str
    process: int = 0
    exception: str = ""


_decoder = msgspec.json.Decoder(LogEntry)


def encode_entry(line: LogEntry) -> str:
    """As the file holds it, without the end of line."""
    return msgspec.json.encode(line).decode()


def decode_entry(data: bytes) -> LogEntry | None:
    """What a line of the file says; None if it is something else."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
