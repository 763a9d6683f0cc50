"""Reader of container logs in the CRI's format."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tui_forward.errors import UsageError

_CHUNK = 64 * 1024
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which part of a log to read; fields as in the API's `PodLogOptions`."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None

    @classmethod
    def parse(cls, query: dict[str, list[str]]) -> LogOptions:
        """Return the options of a query string.

        Raises `UsageError`: a number or time is malformed.
        """

        def first(key: str) -> str:
            return query.get(key, [""])[0]

        def number(key: str) -> int | None:
            text = first(key)
            if not text:
                return None
            if not (text.isascii() and text.isdigit()):
                raise UsageError(f"invalid value {text!r} for {key}")
            return int(text)

        since: datetime | None = None
        seconds = number("sinceSeconds")
        if seconds is not None:
            since = datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds, UTC)
        elif first("sinceTime"):
            try:
                since = datetime.fromisoformat(first("sinceTime"))
            except ValueError as error:
                raise UsageError(f"invalid sinceTime: {error}") from error
        return cls(
            follow=first("follow") in ("true", "1"),
            previous=first("previous") in ("true", "1"),
            timestamps=first("timestamps") in ("true", "1"),
            tail_lines=number("tailLines"),
            limit_bytes=number("limitBytes"),
            since=since,
        )


def _format_line(raw: bytes, options: LogOptions) -> bytes:
    """Return the output for one line of the file, empty if it is filtered out."""
    stamp, _, rest = raw.partition(b" ")
    _, _, rest = rest.partition(b" ")
    flag, _, text = rest.partition(b" ")
    if options.since is not None:
        try:
            if datetime.fromisoformat(stamp.decode()[:26].rstrip("Z") + "+00:00") < options.since:
                return b""
        except ValueError:
            return b""
    end = b"" if flag == b"P" else b"\n"
    return (stamp + b" " if options.timestamps else b"") + text.rstrip(b"\n") + end


async def read_log(path: Path, options: LogOptions, exited: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the log at `path` in chunks of one or more whole lines.

    Args:
        path: The file; it need not exist yet.
        options: Which part to read.
        exited: Set once the container has exited; following stops at the end of the file then.
    """
    remaining = options.limit_bytes
    async for chunk in _read_chunks(path, options, exited):
        if remaining is not None:
            chunk = chunk[:remaining]
            remaining -= len(chunk)
        if chunk:
            yield chunk
        if remaining == 0:
            return


async def _read_chunks(
    path: Path, options: LogOptions, exited: asyncio.Event
) -> AsyncIterator[bytes]:
    position = 0
    rest = b""
    inode = 0
    first = True
    while True:
        # Check first, then read: lines written before the exit must not be missed.
        complete = exited.is_set() or not options.follow
        data, position, inode = await asyncio.to_thread(_read_more, path, position, inode)
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        output = [out for raw in lines if (out := _format_line(raw, options))]
        if first:
            # The tail is taken from the whole file, whose size is bounded.
            while data:
                data, position, inode = await asyncio.to_thread(_read_more, path, position, inode)
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                output += [out for raw in lines if (out := _format_line(raw, options))]
            if options.tail_lines is not None:
                output = list(deque(output, maxlen=options.tail_lines))
            first = False
        if output:
            yield b"".join(output)
        if complete and not data:
            return
        if not data:
            await asyncio.sleep(_POLL_S)


def _read_more(path: Path, position: int, inode: int) -> tuple[bytes, int, int]:
    """Return the next chunk, the new position and the inode; start over after a rotation."""
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            if inode and stat.st_ino != inode:
                position = 0
            file.seek(position)
            data = file.read(_CHUNK)
            return data, position + len(data), stat.st_ino
    except FileNotFoundError:
        return b"", position, inode
