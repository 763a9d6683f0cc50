"""The background process that owns the forwards, and its clients.

    session = await connect(kubeconfig="~/.kube/config")     # starts an engine if none is running
    await session.start(spec)
    await session.close()                                    # only disconnects

The names below are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_forward.daemon.launcher import connect as connect
    from tui_forward.daemon.launcher import connect_if_running as connect_if_running
    from tui_forward.daemon.remote_session import RemoteSession as RemoteSession

__all__ = ["RemoteSession", "connect", "connect_if_running"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "remote_session" if name == "RemoteSession" else "launcher"
    return getattr(import_module(f"tui_forward.daemon.{module}"), name)
