"""The endpoint `/containerLogs/{namespace}/{pod}/{container}`."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import parse_qs

from tui_forward.errors import UsageError
from tui_forward.minicluster.kubelet import cri_config, log_reader
from tui_forward.minicluster.kubelet.kubelet import Kubelet
from tui_forward.minicluster.kubelet.pod_status import ContainerView
from tui_forward.minicluster.kubelet.pod_worker import PodWorker
from tui_forward.minicluster.kubelet.refusal import RefusalError
from tui_forward.minicluster.socket_connection import SocketConnection
from tui_forward.protocol.upgrade_server import encode_response

_POLL_S = 0.1


async def serve_logs(
    kubelet: Kubelet,
    connection: SocketConnection,
    query: str,
    namespace: str,
    pod: str,
    container: str,
) -> None:
    """Send a container's log, following it if requested, until the client disconnects.

    Raises:
        RefusalError: The query is invalid, or there is no such pod, container or incarnation.
        OSError: The connection broke.
    """
    try:
        options = log_reader.LogOptions.parse(parse_qs(query))
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


def _log_path(
    worker: PodWorker, container: str, options: log_reader.LogOptions, root: Path
) -> Path:
    """Return the log file of the requested incarnation.

    Raises `RefusalError`: 400 or 404, with a kubelet's text.
    """
    name = worker.pod["metadata"]["name"]
    view = _find_view(worker, container)
    if view is None:
        raise RefusalError(
            encode_response(404, f'container "{container}" not found in pod "{name}"\n')
        )
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
    connection: SocketConnection, path: Path, options: log_reader.LogOptions, exited: asyncio.Event
) -> None:
    async for chunk in log_reader.read_log(path, options, exited):
        await connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    await connection.write(b"0\r\n\r\n")
