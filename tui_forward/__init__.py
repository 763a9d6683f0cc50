"""A dashboard and engine for Kubernetes port-forwards that stay up.

    import tui_forward

    with tui_forward.forward("svc/web", 80, namespace="shop") as web:
        print(web.url("http"))

The names below are loaded on first use, so that the command line starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_forward.api import ActiveForward as ActiveForward
    from tui_forward.api import AsyncActiveForward as AsyncActiveForward
    from tui_forward.api import PortForward as PortForward
    from tui_forward.api import PortForwards as PortForwards
    from tui_forward.api import forward as forward
    from tui_forward.api import forward_all as forward_all
    from tui_forward.errors import ApiError as ApiError
    from tui_forward.errors import AuthError as AuthError
    from tui_forward.errors import ConfigError as ConfigError
    from tui_forward.errors import ForwardError as ForwardError
    from tui_forward.errors import NotReadyError as NotReadyError
    from tui_forward.errors import StartError as StartError
    from tui_forward.errors import TransportError as TransportError
    from tui_forward.errors import TuiForwardError as TuiForwardError
    from tui_forward.errors import UsageError as UsageError
    from tui_forward.model import Connection as Connection
    from tui_forward.model import ConnectionState as ConnectionState
    from tui_forward.model import Event as Event
    from tui_forward.model import EventKind as EventKind
    from tui_forward.model import Forward as Forward
    from tui_forward.model import ForwardState as ForwardState
    from tui_forward.model import ReasonCode as ReasonCode

_MODULES = {
    "tui_forward.api": (
        "ActiveForward", "AsyncActiveForward", "PortForward", "PortForwards",
        "forward", "forward_all",
    ),
    "tui_forward.errors": (
        "ApiError", "AuthError", "ConfigError", "ForwardError", "NotReadyError", "StartError",
        "TransportError", "TuiForwardError", "UsageError",
    ),
    "tui_forward.model": (
        "Connection", "ConnectionState", "Event", "EventKind", "Forward", "ForwardState",
        "ReasonCode",
    ),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
