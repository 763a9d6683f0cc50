from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tui_forward.cli import standard_streams
from tui_forward.cli.standard_streams import OutputClosedError, OutputError

DATA, MESSAGE = "completion bash", "profile list"  # writes stdout only, stderr only
NEEDS_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@pytest.mark.parametrize(
    ("arguments", "redirection", "code", "stderr"),
    [
        (DATA, ">&-", 0, ""),
        (DATA, "<&- >&- 2>&-", 0, ""),
        pytest.param(
            DATA, ">/dev/full", 1, "error: cannot write to stdout: no space left on device\n",
            marks=NEEDS_FULL,
        ),
        pytest.param(DATA, ">/dev/full 2>&1", 1, "", marks=NEEDS_FULL),
        (MESSAGE, "2>&-", 0, ""),
        pytest.param(MESSAGE, "2>/dev/full", 0, "", marks=NEEDS_FULL),
        ("forward", "2>&-", 2, ""),
        pytest.param("forward", "2>/dev/full", 2, "", marks=NEEDS_FULL),
    ],
)  # fmt: skip
def test_exit_code_does_not_depend_on_messages(
    arguments: str, redirection: str, code: int, stderr: str
) -> None:
    command = f'"$0" -m tui_forward {arguments} {redirection}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, stderr)


def test_closed_pipe_ends_a_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "tui_forward", *DATA.split()], stdout=closed,
            stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.EPIPE, OutputClosedError), (errno.ENOSPC, OutputError), (errno.EIO, OutputError)],
)
def test_data_that_cannot_be_written_is_an_error_once(
    number: int, error: type[OutputError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(standard_streams._BlockingFile, "write", write)
    raw = standard_streams._DataFile(os.open(os.devnull, os.O_WRONLY), "w")
    with standard_streams._text_stream(raw, None) as stream:
        stream.write("data")
        with pytest.raises(error) as caught:
            stream.flush()
        assert type(caught.value) is error
        stream.write("more")
        stream.flush()  # as the interpreter does at exit


def test_write_to_a_non_blocking_pipe_waits_for_its_reader() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = b"y" * 300_000
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 65536):
            received.extend(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    with standard_streams._text_stream(standard_streams._DataFile(writer, "w"), None) as stream:
        stream.write(data.decode())
    thread.join(5)
    os.close(reader)
    assert bytes(received) == data
