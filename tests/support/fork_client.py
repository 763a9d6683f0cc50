"""A program that forks another where only a command can be named: in a shell, or in tmux.

`python -ESs fork_client.py SOCKET MODE COMMAND…`, where SOCKET is that of the template. It imports
little, so that it starts in a fraction of the time of the program. MODE is one of these:

- `command`: the program has the streams, folder and environment of this process, which ends with
  its exit code.
- `terminal`: the program gets the controlling terminal of this process, which leads its session.
  At the end, this one has it back, prints `ended with CODE` and waits until it is closed.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import termios

STREAMS = (0, 1, 2)
LENGTH_SIZE = 4


def run(path: str, command: list[str], terminal: str) -> int:
    """Fork a program and wait for its end; return its exit code as a shell does."""
    request = {
        "command": command, "environ": dict(os.environ), "folder": f"/proc/{os.getpid()}/cwd",
        "new_session": False, "terminal": terminal,
    }  # fmt: skip
    data = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        socket.send_fds(client, [len(data).to_bytes(LENGTH_SIZE, "big")], STREAMS)
        client.sendall(data)
        _pid = client.recv(LENGTH_SIZE, socket.MSG_WAITALL)
        status = int.from_bytes(client.recv(LENGTH_SIZE, socket.MSG_WAITALL), "big")
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def main(path: str, mode: str, *command: str) -> int:
    """Run a command; return the exit code."""
    if mode == "command":
        return run(path, list(command), "")
    terminal = os.ttyname(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which follows
    fcntl.ioctl(0, termios.TIOCNOTTY)
    code = run(path, list(command), terminal)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with contextlib.suppress(OSError):  # it is closed
        os.open(terminal, os.O_RDWR)  # which makes it the controlling one again
        os.write(1, f"ended with {code}\n".encode())
        os.execvp("sleep", ["sleep", "600"])
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
