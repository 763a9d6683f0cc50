"""Reads container logs in the CRI's format for `/containerLogs`."""

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
_FOLLOW_S = 0.1


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted; fields as in the API's `PodLogOptions`."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None

    @classmethod
    def parse(cls, query: dict[str, list[str]]) -> LogOptions:
        """From a query string.

        Raises:
            UsageError: A value is no number or no time.
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


def _line(raw: bytes, options: LogOptions) -> bytes:
    """One line of output out of one line of the file; empty if it is not wanted."""
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


async def read(path: Path, options: LogOptions, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """The log at `path`, as a client sees it.

    Args:
        path: The file; it may not exist yet when it is followed.
        options: What of it is wanted.
        ended: Set once the container has ended: following stops at the file's end then.

    Yields:
        Pieces of one or more whole lines.
    """
    left = options.limit_bytes
    async for piece in _pieces(path, options, ended):
        if left is not None:
            piece = piece[:left]
            left -= len(piece)
        if piece:
            yield piece
        if left == 0:
            return


async def _pieces(path: Path, options: LogOptions, ended: asyncio.Event) -> AsyncIterator[bytes]:
    position = 0
    rest = b""
    inode = 0
    first = True
    while True:
        # Order matters: what was written before the end is read after it is known.
        over = ended.is_set() or not options.follow
        data, position, inode = await asyncio.to_thread(_more, path, position, inode)
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        wanted = [out for raw in lines if (out := _line(raw, options))]
        if first:
            # The tail is that of the whole file, which is bounded.
            while data:
                data, position, inode = await asyncio.to_thread(_more, path, position, inode)
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                wanted += [out for raw in lines if (out := _line(raw, options))]
            if options.tail_lines is not None:
                wanted = list(deque(wanted, maxlen=options.tail_lines))
            first = False
        if wanted:
            yield b"".join(wanted)
        if over and not data:
            return
        if not data:
            await asyncio.sleep(_FOLLOW_S)


def _more(path: Path, position: int, inode: int) -> tuple[bytes, int, int]:
    """The next piece of the file; starts over when it was rotated."""
    try:
        with path.open("rb") as file:
            now = os.fstat(file.fileno())
            if inode and now.st_ino != inode:
                position = 0
            file.seek(position)
            data = file.read(_CHUNK)
            return data, position + len(data), now.st_ino
    except FileNotFoundError:
        return b"", position, inode
