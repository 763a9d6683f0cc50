"""Options that set the log level, and the log handler of commands with an engine of their own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui_forward.cli.output import Output
from tui_forward.common.logging_levels import LEVELS, RedactingFormatter, temporary_handler

if TYPE_CHECKING:
    from tui_forward.settings.parser import Settings

F = TypeVar("F", bound=Callable[..., Any])

_CHOICES = ("debug", "info", "warning", "error")
_VERBOSITY = ("", "debug", "trace")
# Loggers of what fails requests and forwards.
_REPORTED = ("tui_forward.engine.", "tui_forward.kube.api.", "tui_forward.kube.auth.command_runner")
# In `Context.meta`, which a command shares with the group that precedes it.
_META_KEY = "tui_forward.log_level"


def log_options(command: F) -> F:
    """Add `--log-level` and `-v` to a command; read them with `requested_log_level`."""
    for option in (
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_store_verbosity,
            help="Log at level debug; -vv also traces frames and requests.",
        ),
        click.option(
            "--log-level",
            type=click.Choice(_CHOICES),
            metavar="LEVEL",
            expose_value=False,
            callback=_store_level,
            help="Lowest level to log: debug, info, warning or error.",
        ),
    ):
        command = option(command)
    return command


def _store_level(ctx: click.Context, _param: click.Parameter, name: str | None) -> None:
    if name is not None:
        ctx.meta[_META_KEY] = name


def _store_verbosity(ctx: click.Context, _param: click.Parameter, count: int) -> None:
    if count:
        ctx.meta[_META_KEY] = _VERBOSITY[min(count, len(_VERBOSITY) - 1)]


def requested_log_level() -> str:
    """Return the name of the level that the running command line sets, or ""."""
    context = click.get_current_context(silent=True)
    return str(context.meta.get(_META_KEY, "")) if context is not None else ""


def chosen_log_level(settings: Settings) -> str:
    """Return the name of the level of the command line, else of the settings; "" without either."""
    name = requested_log_level()
    if not name and "log_level" in settings.setting_lines:
        name = settings.log_level.value
    return name


@contextlib.contextmanager
def logging_to(output: Output, level: str, *, default: str) -> Iterator[None]:
    """Write log records to stderr from `level` on.

    Without a level that is `default`, and what the states of forwards report is left out.
    """
    handler = _OutputLogHandler(output)
    handler.setFormatter(RedactingFormatter())
    if not level:
        handler.addFilter(_is_not_reported)
    with temporary_handler(handler, LEVELS[level or default]):
        yield


def _is_not_reported(record: logging.LogRecord) -> bool:
    """Return whether a record is an error, or not from a part whose failures become states."""
    return record.levelno >= logging.ERROR or not record.name.startswith(_REPORTED)


class _OutputLogHandler(logging.Handler):
    """Writes log records to stderr from the output's thread, without blocking the event loop."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._output.err(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of `logging`
            self.handleError(record)
