"""Printers of a forward's events: kubectl's lines, or one JSON object per line."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from tui_forward.cli.output import Output, style
from tui_forward.common.printable import escape_json, one_line
from tui_forward.model import (
    Event,
    EventKind,
    Forward,
    ForwardState,
    LocalAddress,
)
from tui_forward.reasons import is_login

# How long a state of a forward that was never ready must last to be printed.
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
    """Prints the events of a `HeadlessRunner`."""

    def event(self, event: Event) -> None:
        """Print an event."""

    def ready(self, forward: Forward) -> None:
        """Print the addresses of a forward, at its first `ready` and whenever they change."""

    def note(self, text: str, hint: str = "") -> None:
        """Print a note for the user."""


class JsonEventPrinter:
    """Prints every event on stdout as JSON; stderr only has errors and log records."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._encoder = msgspec.json.Encoder()

    def event(self, event: Event) -> None:
        """Print one object on one line."""
        put = self._output.out_soon if event.connection is not None else self._output.out
        put(escape_json(self._encoder.encode(event)))

    def ready(self, forward: Forward) -> None:
        """Do nothing: the events contain the addresses."""

    def note(self, text: str, hint: str = "") -> None:
        """Do nothing: programs have no use for notes."""


class KubectlEventPrinter:
    """Prints kubectl's lines on stdout and states on stderr.

    `named` adds the name of the forward to each state line, because there are several; `quiet`
    prints only local addresses and errors.
    """

    def __init__(
        self, output: Output, *, named: bool = False, quiet: bool = False, color: bool = False
    ) -> None:
        self._output = output
        self._named = named
        self._quiet = quiet
        self._color = color
        self._local_ports: dict[str, int] = {}
        self._last_states: dict[str, tuple[ForwardState | None, str]] = {}
        self._once_ready: set[str] = set()
        self._delayed: dict[str, asyncio.TimerHandle] = {}

    def event(self, event: Event) -> None:
        """Print a line for an accepted or failed connection and for a new state."""
        match event.event:
            case EventKind.LISTENING if event.listening:
                self._local_ports[event.forward] = event.listening[0].port
            case EventKind.CONNECTION_OPENED if not self._quiet:
                port = self._local_ports.get(event.forward)
                if port is not None:
                    self._output.out_soon(f"Handling connection for {port}")
            case EventKind.CONNECTION_CLOSED if not self._quiet:
                connection = event.connection
                if connection is not None and connection.failed:
                    self._output.err(
                        self._tagged(
                            event,
                            f"connection from {one_line(connection.client)} failed: "
                            f"{one_line(connection.close_reason)}",
                        )
                    )
            case EventKind.LOGIN:
                # Also if quiet: nothing works before the user has read it.
                self._output.err(one_line(event.reason))
            case EventKind.STATE | EventKind.STOPPED if not self._quiet:
                self._handle_state(event)
            case _:
                pass

    def _handle_state(self, event: Event) -> None:
        """Print a new state, but not the short-lived ones of a forward that is starting.

        Nor that it waits for a login: the lines of the plugin are printed.
        """
        state = (event.state, event.reason)
        if (
            event.state is None
            or is_login(event.code)
            or self._last_states.get(event.forward) == state
        ):
            return
        self._last_states[event.forward] = state
        delayed = self._delayed.pop(event.forward, None)
        if delayed is not None:
            delayed.cancel()
        if event.state is ForwardState.READY:
            self._once_ready.add(event.forward)
        if event.forward in self._once_ready:
            self._print_state(event)
        elif event.event is EventKind.STATE:
            loop = asyncio.get_running_loop()
            self._delayed[event.forward] = loop.call_later(_SETTLE_S, self._print_state, event)

    def _print_state(self, event: Event) -> None:
        assert event.state is not None
        word = style(event.state.value, STATE_STYLES[event.state], color=self._color)
        says_more = event.reason and event.reason != event.state.value
        self._output.err(
            self._tagged(event, f"{word}: {one_line(event.reason)}" if says_more else word)
        )
        if event.hint:
            hint = style("hint:", "1", color=self._color)
            self._output.err(f"  {hint} {one_line(event.hint)}")

    def _tagged(self, event: Event, text: str) -> str:
        return f"{one_line(event.target or event.forward)} {text}" if self._named else text

    def ready(self, forward: Forward) -> None:
        """Print kubectl's "Forwarding from" lines, which scripts wait for."""
        for address in ipv4_first(forward.listening):
            self._output.out(f"Forwarding from {address} -> {forward.remote_port}")

    def note(self, text: str, hint: str = "") -> None:
        """Print a note on stderr, and its hint if it has one."""
        if not self._quiet:
            self._output.err(f"{style('note:', '1', color=self._color)}  {one_line(text)}")
            if hint:
                self._output.err(f"{style('hint:', '1', color=self._color)}  {one_line(hint)}")


def ipv4_first(addresses: tuple[LocalAddress, ...]) -> list[LocalAddress]:
    """Return addresses with IPv4 before IPv6, otherwise in the given order."""
    return sorted(addresses, key=lambda address: ":" in address.host)
