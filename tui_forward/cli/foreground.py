"""What commands share that run an engine of their own until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from tui_forward.cli import sessions
from tui_forward.cli.event_output import EventPrinter, JsonEventPrinter, KubectlEventPrinter
from tui_forward.cli.log_options import logging_to
from tui_forward.cli.output import Output, use_color
from tui_forward.cli.signals import call_on_signals
from tui_forward.session import Session


@dataclass(frozen=True)
class OutputChoice:
    """What a command prints."""

    as_json: bool = False
    quiet: bool = False  # only addresses and errors
    named: bool = False  # lines say which forward they are about
    log_level: str = ""  # that the user asked for; empty: the default


@dataclass(frozen=True)
class Foreground:
    """A session of a command, where it prints, and what a signal sets."""

    session: Session
    output: Output
    printer: EventPrinter
    stop: asyncio.Event


@contextlib.asynccontextmanager
async def foreground(
    kubeconfig: str | None, context: str | None, choice: OutputChoice, notes: Sequence[str]
) -> AsyncIterator[Foreground]:
    """Open a session in this process, after printing `notes`; close it at the end."""
    stop = asyncio.Event()
    output = Output()
    printer: EventPrinter
    if choice.as_json:
        printer = JsonEventPrinter(output)
    else:
        printer = KubectlEventPrinter(
            output, named=choice.named, quiet=choice.quiet, color=use_color(sys.stderr)
        )
    for note in notes:
        printer.note(note)
    # As kubectl: a plugin gets the terminal if stdin is one.
    has_terminal = sys.stdin is not None and sys.stdin.isatty()
    default_level = "error" if choice.quiet else "warning"
    try:
        with (
            logging_to(output, choice.log_level, default=default_level),
            call_on_signals(stop.set),
        ):
            async with sessions.local_session(
                kubeconfig, context=context, has_terminal=has_terminal
            ) as session:
                yield Foreground(session, output, printer, stop)
    finally:
        output.close()
