"""`tui-forward up` and `down`: start and stop a profile's forwards in the engine process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from tui_forward.cli import completers, forward_output, profile_lookup
from tui_forward.cli.env_vars import env_vars, write_env_file
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.log_options import log_options
from tui_forward.cli.options import Duration, kubeconfig_option
from tui_forward.cli.output import use_color
from tui_forward.cli.preview_output import preview_lines, preview_notes
from tui_forward.cli.protection import (
    allow_protected_option,
    require_permission,
    require_proxy_permission,
)
from tui_forward.cli.proxy_output import proxy_lines
from tui_forward.cli.sessions import (
    attached_session,
    find_save_problem,
    local_session,
    remote_session,
)
from tui_forward.common import paths
from tui_forward.common.formatting import pluralize
from tui_forward.common.printable import one_line
from tui_forward.daemon.profile_apply import apply_plan, plan_profile, validate_plan
from tui_forward.daemon.profile_preview import find_preview_facts
from tui_forward.errors import UsageError
from tui_forward.model import Forward, Snapshot
from tui_forward.profiles.parser import ProfileError
from tui_forward.profiles.plan import (
    ApplyMode,
    forwards_of,
    make_plan,
    qualified_name,
    qualified_proxy_name,
)
from tui_forward.profiles.preview import make_preview
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.proxy import find_proxy
from tui_forward.session import Session
from tui_forward.session.batch import stop_forwards
from tui_forward.settings.parser import load_settings
from tui_forward.settings.protected_contexts import protected_contexts


@click.command(short_help="Start a profile's forwards in the background.")
@click.argument("profile", metavar="PROFILE", shell_complete=completers.complete_profiles)
@kubeconfig_option
@click.option("--wait/--no-wait", default=True, help="Wait until they are ready. [default: wait]")
@click.option(
    "--timeout",
    type=Duration(),
    default=30.0,
    metavar="TIME",
    help="How long to wait. [default: 30s]",
)
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write NAME=VALUE lines to FILE.",
)
@click.option("-y", "--yes", is_flag=True, help="Trust this profile without asking.")
@click.option("--merge", is_flag=True, help="Only start missing forwards; change no active one.")
@click.option("--replace", is_flag=True, help="Stop all other forwards and cluster proxies.")
@click.option("--dry-run", is_flag=True, help="Print the changes without making them.")
@click.option("--json", "as_json", is_flag=True, help="One object per forward on stdout.")
@allow_protected_option
@log_options
def up(
    profile: str, kubeconfig: str | None, wait: bool, timeout: float, env_file: str | None,
    yes: bool, merge: bool, replace: bool, dry_run: bool, as_json: bool, allow_protected: bool,
) -> int:  # fmt: skip
    """Start a profile's forwards, and its cluster proxy, in the background.

    Forwards that changed in the profile restart, and those it no longer has stop; with --merge
    both stay as they are. All other active forwards and proxies keep running, unless with
    --replace.
    """
    if merge and replace:
        raise UsageError("--merge and --replace cannot be combined", hint="use one of them")
    mode = ApplyMode.MERGE if merge else ApplyMode.REPLACE if replace else ApplyMode.APPLY
    if env_file and not wait:
        raise UsageError("--env-file cannot be combined with --no-wait", hint="omit --no-wait")
    if dry_run:  # printing the changes does not require trust
        untrusted = profile_lookup.store().find(profile).read()
        return asyncio.run(_print_plan(untrusted, kubeconfig, mode))
    trusted = profile_lookup.find_trusted_profile(profile, yes=yes, kubeconfig=kubeconfig)
    wait_s = timeout if wait else None
    return asyncio.run(
        _up(
            trusted, kubeconfig, mode, wait_s, env_file, as_json=as_json,
            allow_protected=allow_protected,
        )
    )  # fmt: skip


async def _print_plan(profile: Profile, kubeconfig: str | None, mode: ApplyMode) -> int:
    async with contextlib.AsyncExitStack() as stack:
        session: Session | None = await stack.enter_async_context(attached_session(kubeconfig))
        if session is None:  # this process finds out who uses a local port
            session = await stack.enter_async_context(local_session(kubeconfig))
        snapshot = await session.snapshot()
        forwards, proxies = snapshot.forwards, snapshot.proxies
        plan = make_plan(profile, forwards, mode, proxies)
        facts = await find_preview_facts(session, [plan])
        contexts = protected_contexts(load_settings(paths.settings_file()), facts.contexts)
        facts = replace(facts, shown_context=contexts.shown_name)
        preview = make_preview(profile, plan, forwards, facts)
        if preview.has_changes:
            for line in preview_lines(preview):
                click.echo(line)
            for note in preview_notes(preview):
                click.echo(note, err=True)
        else:
            click.echo(f"{profile.name}: no changes", err=True)
        await validate_plan(session, plan, forwards, proxies)
    return ExitCode.DONE


async def _up(
    profile: Profile, kubeconfig: str | None, mode: ApplyMode, wait_s: float | None,
    env_file: str | None, *, as_json: bool, allow_protected: bool,
) -> int:  # fmt: skip
    async with remote_session(kubeconfig) as session:
        plan = await plan_profile(session, profile, mode, with_proxy=True)
        targets = [one.spec.target for one in plan.to_start]
        await require_permission(session, targets, allowed=allow_protected)
        if plan.proxy is not None:
            await require_proxy_permission(session, plan.proxy, allowed=allow_protected)
        await session.set_keep_running(True)
        result = await apply_plan(session, profile, plan, wait_s=wait_s)
        snapshot = await session.snapshot()
    stopped = [*map(qualified_name, plan.others), *map(qualified_proxy_name, plan.other_proxies)]
    for other in stopped:
        click.echo(one_line(f"stopped {other}"), err=True)
    if as_json:
        for line in forward_output.json_lines(map(forward_output.forward_to_dict, result.forwards)):
            click.echo(line)
    else:
        for line in _result_lines(profile, result.forwards, snapshot, color=use_color(sys.stdout)):
            click.echo(line)
    if wait_s is None or not result.unready:
        if env_file:
            write_env_file(Path(env_file), env_vars(result.forwards, profile))
        return ExitCode.DONE
    names = ", ".join(one.spec.name for one in result.unready)
    click.echo(f"not ready: {names}; retrying, see `tui-forward status`", err=True)
    return ExitCode.FAILED


def _result_lines(
    profile: Profile, forwards: Sequence[Forward], snapshot: Snapshot, *, color: bool
) -> Iterator[str]:
    """Yield the proxy of a profile and its forwards, as `ls` does."""
    proxy = find_proxy(profile.id, profile.proxy, snapshot.proxies)
    if proxy is not None:
        yield from proxy_lines([proxy], snapshot.forwards, color=color)
    if forwards or proxy is None:
        yield from forward_output.format_table(forwards, color=color)


@click.command(short_help="Stop a profile's forwards.")
@click.argument("profile", metavar="PROFILE", shell_complete=completers.complete_profiles)
@kubeconfig_option
@click.option("--json", "as_json", is_flag=True, help="One object per forward on stdout.")
def down(profile: str, kubeconfig: str | None, as_json: bool) -> int:
    """Stop a profile's forwards; the engine stops with the last forward."""
    return asyncio.run(_down(profile, kubeconfig, as_json=as_json))


async def _down(name: str, kubeconfig: str | None, *, as_json: bool) -> int:
    async with attached_session(kubeconfig) as session:
        snapshot = await session.snapshot() if session is not None else None
        forwards, proxies = (snapshot.forwards, snapshot.proxies) if snapshot else ((), ())
        proxy = find_proxy(name, None, proxies)
        # Works without the profile's file, which may be deleted or invalid by now.
        members = [one for one in forwards if one.spec.profile == name]
        try:
            profile = profile_lookup.store().find(name).read()
            proxy = find_proxy(profile.id, profile.proxy, proxies)
            found = forwards_of(profile, forwards)
            members += [one for one in found.values() if one not in members]
        except (UsageError, ProfileError):
            if not members and proxy is None:
                raise
        failure = None
        save_problem = ""
        if session is not None:
            result = await stop_forwards(session, members)
            failure = result.failure("stop", "forward")
            failed = {one.id for one, _ in result.failed}
            if proxy is not None:
                with contextlib.suppress(UsageError):  # another client has stopped it
                    await session.stop_proxy(proxy.id)
            members = [one for one in members if one.id not in failed]
            save_problem = await find_save_problem(session)
    if as_json:
        for line in forward_output.json_lines(map(forward_output.forward_to_dict, members)):
            click.echo(line)
    elif members:
        also = " and the cluster proxy" if proxy is not None else ""
        click.echo(f"{name}: stopped {pluralize(len(members), 'forward')}{also}", err=True)
    elif proxy is not None:
        click.echo(f"{name}: stopped the cluster proxy", err=True)
    elif failure is None:
        click.echo(f"{name}: no active forwards", err=True)
    forward_output.print_save_problem(save_problem)
    if failure is not None:
        raise failure
    return ExitCode.DONE
