"""`tui-forward run`: a command with a profile's forwards up and ready."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import click

from tui_forward.cli import profile_choice
from tui_forward.cli.applying import Applied, apply, check_ports, variables
from tui_forward.cli.doors import remote_session
from tui_forward.cli.doors import run as run_async
from tui_forward.cli.exits import ExitCode
from tui_forward.cli.options import Duration, kubeconfig_option
from tui_forward.cli.output import one_line
from tui_forward.cli.up import write_variables
from tui_forward.errors import ForwardError, TuiForwardError, UsageError
from tui_forward.profiles.plan import plan
from tui_forward.profiles.profile import Profile

# As shells have it for a command that cannot be found or run.
_NOT_FOUND, _NOT_RUN, _SIGNALLED = 127, 126, 128


@click.command(
    short_help="Run a command with a profile's forwards up and ready.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("profile", metavar="PROFILE")
@click.argument("command", metavar="-- CMD...", nargs=-1, type=click.UNPROCESSED)
@kubeconfig_option
@click.option(
    "--timeout",
    type=Duration(),
    default=30.0,
    metavar="TIME",
    help="How long the forwards may take to be ready. [default: 30s]",
)
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write NAME=VALUE lines with their addresses, too.",
)
@click.option("-y", "--yes", is_flag=True, help="Agree to a profile that is not your own.")
def run(
    profile: str, command: tuple[str, ...], kubeconfig: str | None, timeout: float,
    env_file: str | None, yes: bool,
) -> int:  # fmt: skip
    """Run CMD once all forwards of a profile are ready, then switch them off again.

    CMD finds their addresses in its environment: NAME_HOST, NAME_PORT and NAME_URL for each.
    The exit code is CMD's. Forwards that were on before stay on.
    """
    words = command[1:] if command[:1] == ("--",) else command
    if not words:
        raise UsageError("no command given", hint="write it behind --, for example -- make test")
    wanted = profile_choice.chosen(profile, yes=yes)
    return run_async(_run(wanted, words, kubeconfig, timeout, env_file))


async def _run(
    profile: Profile, command: tuple[str, ...], kubeconfig: str | None, timeout_s: float,
    env_file: str | None,
) -> int:  # fmt: skip
    async with remote_session(kubeconfig) as session:
        forwards = (await session.snapshot()).forwards
        found = plan(profile, forwards)
        check_ports(found, forwards)
        applied = Applied((), ())
        try:
            applied = await apply(session, profile, found, wait_s=timeout_s)
            if applied.unready:
                raise _unready(applied)
            more = variables(applied.forwards, profile)
            if env_file:
                write_variables(Path(env_file), more)
            return await _command(command, more)
        finally:
            # Also of what was begun before something failed.
            before = {one.id for one in found.same}
            for one in (await session.snapshot()).forwards:
                if one.spec.profile == profile.id and one.id not in before:
                    await session.stop(one.id)


def _unready(applied: Applied) -> TuiForwardError:
    first = applied.unready[0]
    others = len(applied.unready) - 1
    more = f" (and {others} more)" if others else ""
    return ForwardError(
        f"{first.spec.name} is not ready: {one_line(first.reason)}{more}", hint=first.hint
    )


async def _command(command: tuple[str, ...], more: dict[str, str]) -> int:
    """Run a command to its end; what the terminal sends reaches it as well as us."""
    try:
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **more})
    except FileNotFoundError:
        click.echo(f"error: there is no command {one_line(command[0])}", err=True)
        return _NOT_FOUND
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        click.echo(f"error: cannot run {one_line(command[0])}: {why}", err=True)
        return _NOT_RUN
    loop = asyncio.get_running_loop()
    passed_on = (signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else ()

    def pass_on(number: int) -> None:
        if process.returncode is None:
            process.send_signal(number)

    for number in passed_on:
        loop.add_signal_handler(number, pass_on, number)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's to judge
    try:
        code = await process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        for number in passed_on:
            loop.remove_signal_handler(number)
    return code if code >= 0 else _SIGNALLED - code if code else ExitCode.DONE
