from __future__ import annotations

import errno
import io
import os
import sys
import threading

import pytest

from tests.support.waiting import until
from tui_forward.cli.output import Output, error_lines, fd_writer
from tui_forward.common.printable import one_line
from tui_forward.errors import ConfigError


def test_lines_arrive_in_order_on_both_streams() -> None:
    written: list[bytes] = []
    output = Output(written.append, written.append)
    for number in range(100):
        output.out(f"{number}")
        output.err(f"{number}!")
    output.close()
    assert b"".join(written).decode().split() == [
        word for number in range(100) for word in (f"{number}", f"{number}!")
    ]


async def test_lines_about_connections_are_written_together_and_soon() -> None:
    written: list[bytes] = []
    done = threading.Event()

    def write(data: bytes) -> None:
        written.append(data)
        if data.endswith(b"99\n"):
            done.set()

    output = Output(write, write)
    try:
        for number in range(100):
            output.out_soon(f"{number}")
        assert not written
        await until(done.is_set)
        assert len(written) == 1
        output.out_soon("before")
        output.err("after")
        await until(lambda: len(written) == 3)
        assert written[1:] == [b"before\n", b"after\n"]
        output.out_soon("last")
    finally:
        output.close()
    assert written[3:] == [b"last\n"]


@pytest.mark.parametrize("failing", ["stdout", "stderr"])
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF])
def test_lines_that_cannot_be_written_are_dropped_until_they_can(failing: str, number: int) -> None:
    attempts = threading.Semaphore(0)
    written: list[bytes] = []
    other: list[bytes] = []

    def write(data: bytes) -> None:
        attempts.release()
        if data == b"one\n":
            raise OSError(number, os.strerror(number))
        written.append(data)

    is_stdout = failing == "stdout"
    output = Output(write, other.append) if is_stdout else Output(other.append, write)
    put, put_other = (output.out, output.err) if is_stdout else (output.err, output.out)
    put("one")
    assert attempts.acquire(timeout=60)
    put("two")
    put_other("still here")
    output.close()
    assert written == [b"two\n"]
    assert other == [b"still here\n"]


def test_reader_that_never_reads_blocks_nothing_and_the_queue_is_bounded() -> None:
    reader, writer = os.pipe()
    output = Output(fd_writer(writer), lambda _: None, max_lines=50)
    line = "x" * 1000
    for _ in range(1000):
        output.out(line)
    output.close(timeout_s=0.05)
    assert len(output._lines) <= 50
    os.close(reader)  # unblocks the thread
    output._thread.join(5)
    assert not output._thread.is_alive()
    os.close(writer)


def test_non_blocking_pipe_receives_all_data() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = b"y" * 300_000
    received = bytearray()

    def read() -> None:
        while len(received) < len(data):
            received.extend(os.read(reader, 65536))

    thread = threading.Thread(target=read)
    thread.start()
    fd_writer(writer)(data)
    thread.join(5)
    os.close(reader)
    os.close(writer)
    assert bytes(received) == data


def test_error_has_a_message_line_and_a_hint_line() -> None:
    assert error_lines(ConfigError("no kubeconfig", hint="log in")) == [
        "error: no kubeconfig",
        "hint:  log in",
    ]
    assert error_lines(ConfigError("no kubeconfig")) == ["error: no kubeconfig"]


@pytest.mark.parametrize(
    ("text", "line"), [("a\nb", "a b"), ("\x1b]0;title\x07", "]0;title"), (" a   b ", "a b")]
)
def test_one_line_removes_control_characters(text: str, line: str) -> None:
    assert one_line(text) == line


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "3 × ● ünï ?"), ("latin-1", "3 × * ünï ?"), ("ascii", "3 x * ?n? ?")],
)
def test_lines_have_the_encoding_of_the_stream(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    output = Output(written.append, written.append)
    output.out("3 × ● ünï \udcff")
    output.err("3 × ● ünï \udcff")
    output.close()
    assert b"".join(written).decode(encoding).splitlines() == [shown, shown]
