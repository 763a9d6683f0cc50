"""A session on top of another one, for those that change only some of its methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from tui_forward.session import Session

P = ParamSpec("P")
R = TypeVar("R")


def _delegate(
    method: Callable[Concatenate[Session, P], R],
) -> Callable[Concatenate[DelegatingSession, P], R]:
    """Return a method that calls the same one of the session below."""

    @wraps(method)
    def call(self: DelegatingSession, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = getattr(self.below, method.__name__)(*args, **kwargs)
        return result

    return call


class DelegatingSession:
    """Implements `Session` by calling `below`; a subclass replaces what it changes."""

    def __init__(self, below: Session) -> None:
        self.below = below

    start = _delegate(Session.start)
    stop = _delegate(Session.stop)
    start_proxy = _delegate(Session.start_proxy)
    stop_proxy = _delegate(Session.stop_proxy)
    pause = _delegate(Session.pause)
    resume = _delegate(Session.resume)
    reconnect = _delegate(Session.reconnect)
    begin_login = _delegate(Session.begin_login)
    finish_login = _delegate(Session.finish_login)
    cancel_login = _delegate(Session.cancel_login)
    retry_login = _delegate(Session.retry_login)
    set_keep_running = _delegate(Session.set_keep_running)
    set_keep_running_if_lost = _delegate(Session.set_keep_running_if_lost)
    close_connection = _delegate(Session.close_connection)
    snapshot = _delegate(Session.snapshot)
    connections = _delegate(Session.connections)
    timeline = _delegate(Session.timeline)
    histories = _delegate(Session.histories)
    hops = _delegate(Session.hops)
    read_log = _delegate(Session.read_log)
    describe = _delegate(Session.describe)
    diagnose = _delegate(Session.diagnose)
    missing_permissions = _delegate(Session.missing_permissions)
    check_port = _delegate(Session.check_port)
    events = _delegate(Session.events)
    changes = _delegate(Session.changes)
    contexts = _delegate(Session.contexts)
    catalog = _delegate(Session.catalog)
    close = _delegate(Session.close)
