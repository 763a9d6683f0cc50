"""Another user of the machine at the engine's door: a real one, by its user id."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable

import pytest

from tests.support.engine_processes import EngineSandbox
from tui_forward.daemon import rpc as rpc

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root may become another user"
)

_NOBODY = 65534
# However soon the engine hangs up.
_CUT = ("hung up", "ConnectionResetError", "BrokenPipeError")


def as_another_user(do: Callable[[], str]) -> str:
    """What a function gives in a process of another user."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            os.write(said, do().encode())
        finally:
            os._exit(0)
    os.close(said)
    with os.fdopen(heard, "rb") as answer:
        text = answer.read().decode()
    os.waitpid(child, 0)
    return text


def asking(path: str, first: rpc.FromFrontEnd) -> Callable[[], str]:
    """Say something at the door; gives what becomes of it."""
    message = rpc.encode_message(first)

    def ask() -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(path)
                client.sendall(message)
                answer = client.recv(1000)
            except OSError as error:
                return type(error).__name__
        return repr(answer) if answer else "hung up"

    return ask


async def test_the_folder_is_closed_and_behind_it_the_engine_is(place: EngineSandbox) -> None:
    session = await place.open()
    path = str(place.socket)
    hello, take_over = rpc.Hello(rpc.VERSION), rpc.HandoverRequest()
    assert as_another_user(asking(path, hello)) == "PermissionError"
    # As if somebody had opened all that leads there.
    opened = [folder for folder in place.socket.parents if not folder.stat().st_mode & 0o001]
    modes = {folder: folder.stat().st_mode & 0o7777 for folder in opened}
    try:
        for folder, mode in modes.items():
            folder.chmod(mode | 0o055)
        place.socket.chmod(0o777)
        for first in (hello, take_over):
            assert as_another_user(asking(path, first)) in _CUT
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert await session.contexts(), "its own user is served"
    assert place.log.read_text().count("refused a front end of another user") == 2
    await session.close()
