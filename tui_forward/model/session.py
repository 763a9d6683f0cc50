"""The whole session at one instant, its events, and who takes part in it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tui_forward.model.catalog import ApiHealth
from tui_forward.model.connection import Connection
from tui_forward.model.forward import Counters, Forward, ForwardState, LocalAddress, ProxyInfo
from tui_forward.model.reason import ReasonCode
from tui_forward.model.specs import ClusterKey


class PortCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a local port can be used now."""

    port: int
    problem: str = ""  # why it cannot ("used by java (48213)"); empty if it is free
    next_free: int | None = None  # the lowest free port above it, if there is one


class EngineNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Something the engine process did, or failed to do, automatically."""

    number: int  # counts up from 1 in every engine process
    at: float
    profile: str  # the profile it concerns; empty: the engine itself
    text: str
    is_problem: bool = False  # needs the user


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A front end and its environment, which has secrets: never saved, shown or logged."""

    environ: dict[str, str]
    terminal: str = ""  # "pts/3"; empty without one
    pid: int = 0

    def __repr__(self) -> str:
        return f"Caller(terminal={self.terminal!r}, pid={self.pid}, {len(self.environ)} variables)"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A credential plugin that runs, and what it tells the user meanwhile."""

    clusters: tuple[ClusterKey, ...]  # that wait for it, at least one; without secrets
    code: ReasonCode
    user: str = ""  # of the kubeconfig
    plugin: str = ""
    text: str = ""  # its latest lines, without secrets: an address to open, a code to enter
    since: float = 0.0  # when it was started
    environment: str = ""  # see `Forward.environment`

    @property
    def context(self) -> str:
        """The context that began it."""
        return self.clusters[0][0]


MAX_LOGIN_OUTPUT: Final = 1024 * 1024
"""Bytes of a plugin's stdout that a front end passes on; as many are more than credentials."""


class LoginCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A credential plugin for a front end that has a terminal; its stdout goes to the engine."""

    plugin: str
    arguments: tuple[str, ...]  # the first one is the path of the program
    environ: dict[str, str]  # in addition to the front end's own
    user: str = ""  # of the kubeconfig

    def __repr__(self) -> str:
        return f"LoginCommand({self.plugin!r})"


class OtherEngine(msgspec.Struct, frozen=True, kw_only=True):
    """An engine of the same user for another kubeconfig."""

    pid: int | None  # process id; None if unknown
    kubeconfig: str  # files as in KUBECONFIG; empty for kubectl's default
    forwards: int  # number of active forwards, at least one
    # The first of them in words: context, target and local port, `prod shop/svc/web:80 8080`.
    listed: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole session at one instant, without the catalog.

    `version` grows with every change other than counters and rates. `keep_running`: the forwards
    keep running when no front end is left. `notices` are the latest few. `other_engines` run for
    other kubeconfigs; their forwards are not part of this session. `save_problem` says why the
    active forwards are not saved, and what follows from it.
    """

    version: int
    at: float
    keep_running: bool = False
    forwards: tuple[Forward, ...] = ()
    proxies: tuple[ProxyInfo, ...] = ()
    totals: Counters = Counters()
    health: tuple[ApiHealth, ...] = ()
    notices: tuple[EngineNotice, ...] = ()
    other_engines: tuple[OtherEngine, ...] = ()
    logins: tuple[Login, ...] = ()  # credential plugins that run now
    save_problem: str = ""


class EventKind(StrEnum):
    """The `event` field of `--json` output."""

    LISTENING = "listening"
    STATE = "state"
    CONNECTION_OPENED = "connection.opened"
    CONNECTION_CHANGED = "connection.changed"  # its `code`
    CONNECTION_CLOSED = "connection.closed"
    STOPPED = "stopped"
    LOGIN = "login"  # a line that a credential plugin wrote for the user: `context`, `reason`


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Event as one JSON object; `sequence` has no gaps within a session.

    `forward` is the forward's id; `state`, `code` and `reason` are set for STATE and STOPPED,
    `listening` for LISTENING, `connection` for the CONNECTION kinds, `context` and `reason` for
    LOGIN, which is about no single forward.
    """

    event: EventKind
    time: float
    forward: str
    sequence: int = 0
    target: str = ""
    state: ForwardState | None = None
    code: ReasonCode | None = None
    reason: str = ""
    short_reason: str = ""
    hint: str = ""
    listening: tuple[LocalAddress, ...] = ()
    remote_port: int | None = None
    connection: Connection | None = None
    context: str = ""
