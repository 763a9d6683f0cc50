"""`tui-forward run`: a command with a profile's forwards up and ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import click

from tui_forward.cli import completers as completers
from tui_forward.cli import profile_lookup as profile_lookup
from tui_forward.cli.env_vars import env_vars, write_env_file
from tui_forward.cli.options import Duration, kubeconfig_option
from tui_forward.cli.output import one_line
from tui_forward.cli.sessions import remote_session
from tui_forward.cli.sessions import run_async as run_async
from tui_forward.daemon.profile_apply import ApplyResult, apply_plan, plan_profile
from tui_forward.errors import ForwardError, TransportError, TuiForwardError, UsageError
from tui_forward.profiles.plan import Plan
from tui_forward.profiles.profile import Profile
from tui_forward.session import Session

# As shells have it for a command that cannot be found or run.
_NOT_FOUND, _NOT_RUN, _SIGNALLED = 127, 126, 128


@click.command(short_help="Run a command with a profile's forwards up and ready.")
@click.argument("profile", metavar="PROFILE", shell_complete=completers.complete_profiles)
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
    if not command:
        raise UsageError("no command given", hint="write it behind --, for example -- make test")
    wanted = profile_lookup.find_trusted_profile(profile, yes=yes)
    return run_async(_run(wanted, command, kubeconfig, timeout, env_file))


async def _run(
    profile: Profile, command: tuple[str, ...], kubeconfig: str | None, timeout_s: float,
    env_file: str | None,
) -> int:  # fmt: skip
    told = SignalForwarder()
    try:
        async with remote_session(kubeconfig) as session:
            found = await plan_profile(session, profile)
            try:
                applied = await apply_plan(session, profile, found, wait_s=timeout_s)
                if applied.unready:
                    raise _unready(applied)
                more = env_vars(applied.forwards, profile)
                if env_file:
                    write_env_file(Path(env_file), more)
                return await _command(command, more, told)
            finally:
                # Also of what was begun before something failed. An engine that is gone has
                # nothing on, and hides neither that nor what CMD said.
                with contextlib.suppress(TransportError):
                    await _switch_off(session, profile, found)
    except asyncio.CancelledError:
        if told.number is None:
            raise
        return _SIGNALLED + told.number
    finally:
        told.close()


async def _switch_off(session: Session, profile: Profile, found: Plan) -> None:
    """What was not on before."""
    before = {one.id for one in found.same}
    for one in (await session.snapshot()).forwards:
        if one.spec.profile == profile.id and one.id not in before:
            await session.stop(one.id)


class SignalForwarder:
    """What this process is told by signals: for the command if it runs, else to give up."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.process: asyncio.subprocess.Process | None = None
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._numbers: tuple[signal.Signals, ...] = ()
        if sys.platform != "win32":
            self._numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        for number in self._numbers:
            asyncio.get_running_loop().add_signal_handler(number, self._tell, number)

    def _tell(self, number: signal.Signals) -> None:
        if self.process is None:
            self.number = number
            self._task.cancel()
        elif number is not signal.SIGINT and self.process.returncode is None:
            self.process.send_signal(number)  # Ctrl-C has reached it already

    def close(self) -> None:
        """Tell nobody any more."""
        for number in self._numbers:
            asyncio.get_running_loop().remove_signal_handler(number)


def _unready(applied: ApplyResult) -> TuiForwardError:
    first = applied.unready[0]
    others = len(applied.unready) - 1
    more = f" (and {others} more)" if others else ""
    return ForwardError(
        f"{first.spec.name} is not ready: {one_line(first.reason)}{more}", hint=first.hint
    )


async def _command(command: tuple[str, ...], more: dict[str, str], told: SignalForwarder) -> int:
    """Run a command to its end."""
    try:
        told.process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **more})
    except FileNotFoundError:
        click.echo(f"error: there is no command {one_line(command[0])}", err=True)
        return _NOT_FOUND
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        click.echo(f"error: cannot run {one_line(command[0])}: {why}", err=True)
        return _NOT_RUN
    code = await told.process.wait()
    return code if code >= 0 else _SIGNALLED - code
