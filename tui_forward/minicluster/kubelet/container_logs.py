"""The endpoint `/containerLogs/{namespace}/{pod}/{container}`: reads logs in the CRI's format."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

from tui_forward.errors import UsageError
from tui_forward.minicluster.kubelet import cri_config
from tui_forward.minicluster.kubelet.kubelet import Kubelet
from tui_forward.minicluster.kubelet.pod_status import ContainerView
from tui_forward.minicluster.kubelet.pod_worker import PodWorker
from tui_forward.minicluster.kubelet.portforward import RefusalError
from tui_forward.minicluster.socket_connection import SocketConnection
from tui_forward.protocol.upgrade_server import encode_response

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
        """Return the options of a query string. Raises `UsageError`: malformed number or time."""

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
    """Yield the log at `path`, which need not exist yet, in chunks of one or more whole lines.

    Following stops at the end of the file once `exited` is set: the container has exited.
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


async def serve_logs(
    kubelet: Kubelet,
    connection: SocketConnection,
    query: str,
    namespace: str,
    pod: str,
    container: str,
) -> None:
    """Send a container's log, following it if requested, until the client disconnects.

    Raises `RefusalError`: the query is invalid, or there is no such pod, container or log.
    """
    try:
        options = LogOptions.parse(parse_qs(query))
    except UsageError as error:
        raise RefusalError(encode_response(400, error.message)) from error
    worker = kubelet.find(namespace, pod)
    if worker is None:
        raise RefusalError(encode_response(404, f'pod "{pod}" does not exist\n'))
    path = _log_path(worker, container, options, Path(kubelet.config.state_dir))
    await connection.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    exited = asyncio.Event()
    exit_watch = asyncio.create_task(_set_on_exit(worker, container, path, exited))
    disconnect = asyncio.create_task(_wait_for_disconnect(connection))
    sending = asyncio.create_task(_send_log(connection, path, options, exited))
    tasks = (exit_watch, disconnect, sending)
    try:
        await asyncio.wait({sending, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _find_view(worker: PodWorker, container: str) -> ContainerView | None:
    views = [*worker.view.init_containers, *worker.view.containers]
    return next((view for view in views if view.name == container), None)


def _log_path(worker: PodWorker, container: str, options: LogOptions, root: Path) -> Path:
    """Return the log file of the requested incarnation, or refuse with a kubelet's text."""
    name = worker.pod["metadata"]["name"]
    view = _find_view(worker, container)
    if view is None:
        text = f'container "{container}" not found in pod "{name}"\n'
        raise RefusalError(encode_response(404, text))
    folder = cri_config.log_directory(root, worker.pod) / container
    if options.previous:
        if view.previous is None and not (view.ended and view.waiting):
            text = f'previous terminated container "{container}" in pod "{name}" not found\n'
            raise RefusalError(encode_response(400, text))
        # While the newest incarnation waits for its restart, it is the previous one.
        attempt = view.restarts if view.ended else view.restarts - 1
        return folder / f"{attempt}.log"
    if view.current is None:
        reason = (view.waiting or ("ContainerCreating", ""))[0]
        cause = {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
        }.get(reason, reason)
        text = f'container "{container}" in pod "{name}" is waiting to start: {cause}\n'
        raise RefusalError(encode_response(400, text))
    return folder / f"{view.restarts}.log"


async def _set_on_exit(
    worker: PodWorker, container: str, path: Path, exited: asyncio.Event
) -> None:
    """Set `exited` once the incarnation that writes `path` has exited."""
    attempt = int(path.stem)
    while True:
        view = _find_view(worker, container)
        if view is None or view.restarts != attempt or not view.running or worker.ended:
            exited.set()
            return
        await asyncio.sleep(_POLL_S)


async def _wait_for_disconnect(connection: SocketConnection) -> None:
    with contextlib.suppress(OSError):
        while await connection.read():
            pass


async def _send_log(
    connection: SocketConnection, path: Path, options: LogOptions, exited: asyncio.Event
) -> None:
    async for chunk in read_log(path, options, exited):
        await connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    await connection.write(b"0\r\n\r\n")
