"""Questions at the terminal."""

from __future__ import annotations

import signal
import sys

import click


def can_ask() -> bool:
    """Return whether a question would be seen and could be answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, *, default: bool) -> bool:
    """Ask on stderr; Ctrl-C and the end of input decline.

    Blocks. In an event loop, too, Ctrl-C ends the question: asyncio's own handler would only
    cancel the current task, which is waiting here.
    """
    previous = signal.getsignal(signal.SIGINT)
    if previous is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm(question, default=default, err=True)
    except click.Abort:
        click.echo("", err=True)
        return False
    finally:
        signal.signal(signal.SIGINT, previous)


def ask_text(question: str, *, default: str) -> str | None:
    """Ask for a text on stderr; None for Ctrl-C and the end of input. Blocks."""
    try:
        answer: str = click.prompt(
            question, default=default, show_default=bool(default), type=str, err=True
        )
    except click.Abort:
        click.echo("", err=True)
        return None
    return answer.strip()
