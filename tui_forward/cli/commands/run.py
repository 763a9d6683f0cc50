"""`tui-forward run`: a command with a profile's forwards ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import click
from msgspec.structs import replace

from tui_forward.cli import completers, profile_lookup
from tui_forward.cli.env_vars import check_env, env_vars, write_env_file
from tui_forward.cli.event_output import ipv4_first
from tui_forward.cli.log_options import log_options
from tui_forward.cli.options import Duration, cluster_options
from tui_forward.cli.protection import (
    allow_protected_option,
    require_permission,
    require_proxy_permission,
)
from tui_forward.cli.proxy_env import proxy_env
from tui_forward.cli.sessions import local_session, remote_session
from tui_forward.cli.signals import handled_signals
from tui_forward.common.printable import one_line
from tui_forward.daemon.profile_apply import ApplyResult, apply_plan, plan_profile
from tui_forward.errors import ForwardError, TransportError, TuiForwardError, UsageError
from tui_forward.model import ProxySpec
from tui_forward.profiles.plan import Plan
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.proxy import find_proxy
from tui_forward.session import Session
from tui_forward.session.batch import stop_forwards

# Exit codes of shells: command not found, not executable, and 128 + the number of a signal.
_NOT_FOUND, _NOT_EXECUTABLE, _SIGNALED = 127, 126, 128
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@click.command(short_help="Run a command with a profile's forwards ready.")
@click.argument(
    "profile", metavar="PROFILE", required=False, shell_complete=completers.complete_profiles
)
@click.argument("command", metavar="-- CMD...", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--proxy",
    "with_proxy",
    is_flag=True,
    help="Instead of a profile: reach every service by its name through a cluster proxy.",
)
@click.option(
    "--direct", is_flag=True, help="With --proxy: pass on connections to names outside the cluster."
)
@cluster_options
@click.option(
    "--timeout",
    type=Duration(),
    default=30.0,
    metavar="TIME",
    help="How long to wait until they are ready. [default: 30s]",
)
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write NAME=VALUE lines to FILE.",
)
@click.option("-y", "--yes", is_flag=True, help="Trust this profile without asking.")
@click.option(
    "--override-env",
    is_flag=True,
    help="Let the profile replace variables that are set already.",
)
@allow_protected_option
@log_options
def run(
    profile: str | None, command: tuple[str, ...], with_proxy: bool, direct: bool,
    kubeconfig: str | None, context: str | None, namespace: str | None, timeout: float,
    env_file: str | None, yes: bool, override_env: bool, allow_protected: bool,
) -> int:  # fmt: skip
    """Run CMD once all forwards of a profile are ready, then stop them.

    CMD gets their addresses in its environment: NAME_HOST, NAME_PORT and NAME_URL for each. None
    of them may be set already, unless with --override-env.
    The exit code is CMD's. Forwards that were active before keep running.

    With --proxy and without a profile, CMD gets HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.
    """
    if with_proxy:
        command = (profile, *command) if profile is not None else command
        if not command:
            raise UsageError("no command given", hint="add one after --, for example -- make test")
        from tui_forward.common import event_loop, paths
        from tui_forward.settings.parser import load_settings

        settings = load_settings(paths.settings_file())
        spec = replace(
            settings.proxy_spec(os.environ),
            context=context or "",
            namespace=namespace or "",
            port=0,
            direct=direct,
        )
        return event_loop.run(
            _run_with_proxy(
                spec, command, kubeconfig, context, env_file, allow_protected=allow_protected
            )
        )
    if context or namespace or direct:
        name = "context" if context else "namespace" if namespace else "direct"
        raise UsageError(f"--{name} needs --proxy", hint="a profile says it for each forward")
    if profile is None:
        raise UsageError("no profile given", hint="name one, or add --proxy: see run --help")
    if not command:
        raise UsageError("no command given", hint="add one after --, for example -- make test")
    trusted = profile_lookup.find_trusted_profile(profile, yes=yes, kubeconfig=kubeconfig)
    if not override_env:
        check_env(trusted, os.environ)
    return asyncio.run(
        _run(trusted, command, kubeconfig, timeout, env_file, allow_protected=allow_protected)
    )


async def _run(
    profile: Profile, command: tuple[str, ...], kubeconfig: str | None, timeout_s: float,
    env_file: str | None, *, allow_protected: bool,
) -> int:  # fmt: skip
    signals = SignalForwarder()
    try:
        async with remote_session(kubeconfig) as session:
            plan = await plan_profile(session, profile, with_proxy=True)
            targets = [one.spec.target for one in plan.to_start]
            await require_permission(session, targets, allowed=allow_protected)
            if plan.proxy is not None:
                await require_proxy_permission(session, plan.proxy, allowed=allow_protected)
            try:
                result = await apply_plan(session, profile, plan, wait_s=timeout_s)
                if result.unready:
                    raise _not_ready_error(result)
                variables = env_vars(result.forwards, profile)
                if env_file:
                    write_env_file(Path(env_file), variables)
                return await _run_command(command, variables, signals)
            finally:
                # Also stops what was started before an error. If the engine is gone, there is
                # nothing to stop, and the original error or exit code must not be lost.
                with contextlib.suppress(TransportError):
                    await _stop_started(session, profile, plan)
    except asyncio.CancelledError:
        if signals.received is None:
            raise
        return _SIGNALED + signals.received
    finally:
        signals.close()


async def _run_with_proxy(
    spec: ProxySpec, command: tuple[str, ...], kubeconfig: str | None, context: str | None,
    env_file: str | None, *, allow_protected: bool,
) -> int:  # fmt: skip
    signals = SignalForwarder()
    try:
        async with local_session(kubeconfig, context=context) as session:
            await require_proxy_permission(session, spec, allowed=allow_protected)
            proxy_id = await session.start_proxy(spec)
            info = next(p for p in (await session.snapshot()).proxies if p.id == proxy_id)
            # kubectl in CMD must reach the API server as before.
            servers = [one.server for one in await session.contexts() if one.server]
            variables = proxy_env(ipv4_first(info.listening)[0], os.environ, tuple(servers))
            if env_file:
                write_env_file(Path(env_file), variables)
            return await _run_command(command, variables, signals)
    except asyncio.CancelledError:
        if signals.received is None:
            raise
        return _SIGNALED + signals.received
    finally:
        signals.close()


async def _stop_started(session: Session, profile: Profile, plan: Plan) -> None:
    """Stop the profile's forwards and proxy that were not active before."""
    before = {one.id for one in plan.same}
    snapshot = await session.snapshot()
    forwards = snapshot.forwards
    proxy = find_proxy(profile.id, None, snapshot.proxies) if plan.proxy is not None else None
    if proxy is not None:
        with contextlib.suppress(UsageError):  # another client has stopped it
            await session.stop_proxy(proxy.id)
    started = [one for one in forwards if one.spec.profile == profile.id and one.id not in before]
    failure = (await stop_forwards(session, started)).failure("stop", "forward")
    if failure is not None:
        click.echo(f"note: {one_line(failure.message)}", err=True)


class SignalForwarder:
    """Forwards signals to the command; before it runs, a signal cancels the current task."""

    def __init__(self) -> None:
        self.received: int | None = None  # the signal that canceled the task
        self.process: asyncio.subprocess.Process | None = None  # the running command
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._signals = handled_signals(_SIGNALS)
        for number in self._signals:
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self.process is None:
            self.received = number
            self._task.cancel()
        # The terminal sends SIGINT to the command itself.
        elif number is not signal.SIGINT and self.process.returncode is None:
            self.process.send_signal(number)

    def close(self) -> None:
        """Restore the default handling of signals."""
        for number in self._signals:
            asyncio.get_running_loop().remove_signal_handler(number)


def _not_ready_error(result: ApplyResult) -> TuiForwardError:
    first = result.unready[0]
    others = len(result.unready) - 1
    more = f" (and {others} more)" if others else ""
    return ForwardError(
        f"{first.spec.name} is not ready: {one_line(first.reason)}{more}", hint=first.hint
    )


async def _run_command(
    command: tuple[str, ...], variables: dict[str, str], signals: SignalForwarder
) -> int:
    """Run a command to its end and return its exit code, as a shell would."""
    environ = {**os.environ, **variables}
    try:
        signals.process = await asyncio.create_subprocess_exec(*command, env=environ)
    except FileNotFoundError:
        click.echo(f"error: command not found: {one_line(command[0])}", err=True)
        return _NOT_FOUND
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        click.echo(f"error: cannot run {one_line(command[0])}: {cause}", err=True)
        return _NOT_EXECUTABLE
    code = await signals.process.wait()
    return code if code >= 0 else _SIGNALED - code
