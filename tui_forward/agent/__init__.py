"""The session over a unix socket: the engine's own process, and the way to it.

    session = await connect(kubeconfig="~/.kube/config")     # starts an engine if none runs
    await session.start(spec)
    await session.close()                                    # only disconnects

The names below are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_forward.agent.launch import connect as connect
    from tui_forward.agent.remote import RemoteSession as RemoteSession

__all__ = ["RemoteSession", "connect"]


def __getattr__(name: str) -> object:
    if name == "connect":
        from tui_forward.agent.launch import connect

        return connect
    if name == "RemoteSession":
        from tui_forward.agent.remote import RemoteSession

        return RemoteSession
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
