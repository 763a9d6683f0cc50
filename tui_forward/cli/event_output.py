"""How events of a forward are told: in kubectl's words, or as one JSON object per line."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from tui_forward.cli.output import Output, one_line, style
from tui_forward.model import (
    Event,
    EventKind,
    Forward,
    ForwardState,
    LocalAddress,
)

# How long a state of a forward that was never ready must last to be told.
_SETTLE_S = 0.5

STATE_STYLES = {
    ForwardState.READY: "32",
    ForwardState.STARTING: "2",
    ForwardState.CONNECTING: "2",
    ForwardState.WAITING: "33",
    ForwardState.RECONNECTING: "33",
    ForwardState.BLOCKED: "1;31",
    ForwardState.STOPPED: "2",
}


class EventPrinter(Protocol):
    """What `headless` tells, in whatever form."""

    def event(self, event: Event) -> None:
        """Something happened."""

    def ready(self, forward: Forward) -> None:
        """A forward can be used: at its first `ready`, and when its addresses have changed."""

    def note(self, text: str, hint: str = "") -> None:
        """Something the person should know, once."""


class JsonEventPrinter:
    """`--json`: every event as it is, on stdout; stderr stays silent but for failures."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._encoder = msgspec.json.Encoder()

    def event(self, event: Event) -> None:
        """One object on one line."""
        self._output.out(self._encoder.encode(event))

    def ready(self, forward: Forward) -> None:
        """Said by the events already."""

    def note(self, text: str, hint: str = "") -> None:
        """Nothing: who reads JSON reads no talk."""


class KubectlEventPrinter:
    """As kubectl on stdout; states in words on stderr.

    Args:
        output: Where lines go.
        named: Say which forward each state is about, because there are several.
        quiet: Only "Forwarding from" and failures.
        color: Whether stderr is a terminal that wants colour.
    """

    def __init__(
        self, output: Output, *, named: bool = False, quiet: bool = False, color: bool = False
    ) -> None:
        self._output = output
        self._named = named
        self._quiet = quiet
        self._color = color
        self._local_ports: dict[str, int] = {}
        self._said: dict[str, tuple[ForwardState | None, str]] = {}
        self._begun: set[str] = set()  # were ready once
        self._held: dict[str, asyncio.TimerHandle] = {}

    def event(self, event: Event) -> None:
        """A line for an accepted connection or a new state; nothing for the rest."""
        match event.event:
            case EventKind.LISTENING if event.listening:
                self._local_ports[event.forward] = event.listening[0].port
            case EventKind.CONNECTION_OPENED if not self._quiet:
                port = self._local_ports.get(event.forward)
                if port is not None:
                    self._output.out(f"Handling connection for {port}")
            case EventKind.CONNECTION_CLOSED if not self._quiet:
                connection = event.connection
                if connection is not None and connection.failed:
                    self._output.err(
                        self._tagged(
                            event,
                            f"connection from {connection.client} failed: "
                            f"{one_line(connection.close_reason)}",
                        )
                    )
            case EventKind.STATE | EventKind.STOPPED if not self._quiet:
                self._state(event)
            case _:
                pass

    def _state(self, event: Event) -> None:
        """Tell a state; what is over in a moment while a forward starts is not worth a line."""
        said = (event.state, event.reason)
        if event.state is None or self._said.get(event.forward) == said:
            return
        self._said[event.forward] = said
        held = self._held.pop(event.forward, None)
        if held is not None:
            held.cancel()
        if event.state is ForwardState.READY:
            self._begun.add(event.forward)
        if event.forward in self._begun:
            self._tell_state(event)
        elif event.event is EventKind.STATE:
            loop = asyncio.get_running_loop()
            self._held[event.forward] = loop.call_later(_SETTLE_S, self._tell_state, event)

    def _tell_state(self, event: Event) -> None:
        assert event.state is not None
        word = style(event.state.value, STATE_STYLES[event.state], color=self._color)
        self._output.err(self._tagged(event, f"{word}: {one_line(event.reason)}"))
        if event.hint:
            hint = style("hint:", "1", color=self._color)
            self._output.err(f"  {hint} {one_line(event.hint)}")

    def _tagged(self, event: Event, text: str) -> str:
        return f"{event.target or event.forward} {text}" if self._named else text

    def ready(self, forward: Forward) -> None:
        """The lines of kubectl, which scripts wait for."""
        for address in ipv4_first(forward.listening):
            self._output.out(f"Forwarding from {address} -> {forward.remote_port}")

    def note(self, text: str, hint: str = "") -> None:
        """A line on stderr."""
        if not self._quiet:
            self._output.err(f"{style('note:', '1', color=self._color)}  {text}")
            if hint:
                self._output.err(f"{style('hint:', '1', color=self._color)}  {hint}")


def ipv4_first(addresses: tuple[LocalAddress, ...]) -> list[LocalAddress]:
    """IPv4 before IPv6, otherwise as opened."""
    return sorted(addresses, key=lambda address: ":" in address.host)
