"""Environment variables that make programs use a cluster proxy."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

from tui_forward.common.env_file import format_variable
from tui_forward.errors import UsageError
from tui_forward.model import LocalAddress

_TIMEOUT_S: Final = 3.0
_MAX_ANSWER: Final = 64 * 1024
# What is on this machine, and names of the proxy's own port.
_LOCAL_NAMES: Final = ("localhost", ".localhost", "127.0.0.1", "::1")


def proxy_env(
    address: LocalAddress, environ: Mapping[str, str], no_proxy: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the variables, in the capitalization that each of common programs reads.

    What `NO_PROXY` of `environ` has is kept; `no_proxy` are more hosts to reach directly.
    """
    before = environ.get("no_proxy") or environ.get("NO_PROXY", "")
    own = [one.strip() for one in before.split(",") if one.strip() not in ("", "*")]
    hosts = ",".join(dict.fromkeys((*own, *_LOCAL_NAMES, *no_proxy)))
    http, socks = f"http://{address}", f"socks5h://{address}"
    variables = {}
    for name, value in (
        ("ALL_PROXY", socks),
        ("HTTP_PROXY", http),
        ("HTTPS_PROXY", http),
        ("NO_PROXY", hosts),
    ):
        variables[name] = variables[name.lower()] = value
    return variables


def format_proxy_env(variables: Mapping[str, str]) -> str:
    """Return `export` commands for a POSIX shell."""
    return "\n".join(f"export {format_variable(name, value)}" for name, value in variables.items())


def find_running_proxy(port: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the proxy on a local port; UsageError if none is there."""
    for host in ("127.0.0.1", "::1"):
        if _is_proxy(host, port):
            return proxy_env(LocalAddress(host, port), environ)
    raise UsageError(
        f"no cluster proxy runs on port {port}",
        hint="start it in another terminal: tui-forward proxy; or name its --port",
    )


def _is_proxy(host: str, port: int) -> bool:
    """Whether a cluster proxy listens at an address: it is asked for its PAC file."""
    request = f"GET /proxy.pac HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    answer = b""
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as sock:
            sock.sendall(request.encode())
            while len(answer) < _MAX_ANSWER and (data := sock.recv(_MAX_ANSWER)):
                answer += data
    except (OSError, OverflowError):
        return False
    return b"\r\nServer: tui-forward proxy\r\n" in answer
