"""Access to the engine's socket by another user of the machine."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.engine_processes import EngineSandbox
from tests.support.other_user import needs_other_user, run_as_other_user
from tui_forward.daemon import rpc

pytestmark = needs_other_user

# Depending on when the engine closes the connection.
_CLOSED = ("closed", "ConnectionResetError", "BrokenPipeError")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder whose parents only this test opens; a session of pytest closes its own."""
    folder = Path(tempfile.mkdtemp(prefix="tf-opened-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def sender(path: str, message_: rpc.FromClient) -> Callable[[], str]:
    """Return a function that sends a message and returns the response or error."""
    message = rpc.encode_message(message_)

    def send() -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(path)
                client.sendall(message)
                response = client.recv(1000)
            except OSError as error:
                return type(error).__name__
        return repr(response) if response else "closed"

    return send


async def test_folder_and_engine_reject_another_user(sandbox: EngineSandbox) -> None:
    session = await sandbox.open()
    path = str(sandbox.socket)
    hello, take_over = rpc.Hello(rpc.VERSION), rpc.HandoverRequest()
    assert run_as_other_user(sender(path, hello)) == "PermissionError"
    # The engine rejects it even if the folders are open.
    opened = [folder for folder in sandbox.socket.parents if not folder.stat().st_mode & 0o001]
    modes = {folder: folder.stat().st_mode & 0o7777 for folder in opened}
    try:
        for folder, mode in modes.items():
            folder.chmod(mode | 0o055)
        sandbox.socket.chmod(0o777)
        for first in (hello, take_over):
            assert run_as_other_user(sender(path, first)) in _CLOSED
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert await session.contexts(), "its own user is served"
    assert sandbox.log.read_text().count("rejected a client of another user") == 2
    await session.close()
