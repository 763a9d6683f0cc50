"""`tui-forward up` and `down`: a profile's forwards, on and off, in the engine process."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tui_forward.cli import completers as completers
from tui_forward.cli import forward_output as forward_output
from tui_forward.cli import profile_lookup as profile_lookup
from tui_forward.cli.env_vars import env_vars, write_env_file
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.options import Duration, kubeconfig_option
from tui_forward.cli.output import one_line, use_color
from tui_forward.cli.sessions import attached_session, remote_session, run_async
from tui_forward.daemon.profile_apply import apply_plan, plan_profile
from tui_forward.errors import UsageError
from tui_forward.profiles.parser import ProfileError
from tui_forward.profiles.plan import ApplyMode, forwards_of, make_plan, qualified_name
from tui_forward.profiles.profile import Profile


@click.command(short_help="Switch a profile's forwards on; they go on without a terminal.")
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
    help="Write NAME=VALUE lines with their addresses.",
)
@click.option("-y", "--yes", is_flag=True, help="Agree to a profile that is not your own.")
@click.option("--merge", is_flag=True, help="Only add what is missing; touch nothing that is on.")
@click.option("--replace", is_flag=True, help="Switch off whatever else is on.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="One object per forward on stdout.")
def up(
    profile: str, kubeconfig: str | None, wait: bool, timeout: float, env_file: str | None,
    yes: bool, merge: bool, replace: bool, dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Switch on what a profile says, in the engine process; what is on already stays untouched.

    A forward that is in the profile no more is switched off, one that changed begins anew;
    --merge leaves those as they are. Forwards of other profiles and of none go on, unless with
    --replace.
    """
    if merge and replace:
        raise UsageError("--merge and --replace exclude each other", hint="leave one of them out")
    manner = ApplyMode.MERGE if merge else ApplyMode.REPLACE if replace else ApplyMode.APPLY
    if env_file and not wait:
        raise UsageError("--env-file needs to wait for the addresses", hint="leave --no-wait out")
    if dry_run:  # looking is not agreeing
        return run_async(
            _plan_only(profile_lookup.store().find(profile).read(), kubeconfig, manner)
        )
    wanted = profile_lookup.find_trusted_profile(profile, yes=yes)
    wait_s = timeout if wait else None
    return run_async(_up(wanted, kubeconfig, manner, wait_s, env_file, as_json=as_json))


async def _plan_only(profile: Profile, kubeconfig: str | None, manner: ApplyMode) -> int:
    async with attached_session(kubeconfig) as session:
        found = (
            make_plan(profile, ())
            if session is None
            else await plan_profile(session, profile, manner)
        )
    for line in found.lines():
        click.echo(one_line(line))
    if not found:
        click.echo(f"{profile.name}: nothing to do", err=True)
    return ExitCode.DONE


async def _up(
    profile: Profile, kubeconfig: str | None, manner: ApplyMode, wait_s: float | None,
    env_file: str | None, *, as_json: bool,
) -> int:  # fmt: skip
    async with remote_session(kubeconfig) as session:
        found = await plan_profile(session, profile, manner)
        await session.set_keep_running(True)
        applied = await apply_plan(session, profile, found, wait_s=wait_s)
    for other in found.others:
        click.echo(one_line(f"off: {qualified_name(other)}"), err=True)
    if as_json:
        for line in forward_output.json_lines(
            map(forward_output.forward_to_dict, applied.forwards)
        ):
            click.echo(line)
    else:
        for line in forward_output.format_table(applied.forwards, color=use_color(sys.stdout)):
            click.echo(line)
    if wait_s is None or not applied.unready:
        if env_file:
            write_env_file(Path(env_file), env_vars(applied.forwards, profile))
        return ExitCode.DONE
    names = ", ".join(one.spec.name for one in applied.unready)
    click.echo(
        f"not ready: {names}; they are tried further, `tui-forward status` shows them", err=True
    )
    return ExitCode.FAILED


@click.command(short_help="Switch a profile's forwards off.")
@click.argument("profile", metavar="PROFILE", shell_complete=completers.complete_profiles)
@kubeconfig_option
@click.option("--json", "as_json", is_flag=True, help="One object per forward on stdout.")
def down(profile: str, kubeconfig: str | None, as_json: bool) -> int:
    """Switch off all forwards of a profile; the engine ends with the last one."""
    return run_async(_down(profile, kubeconfig, as_json=as_json))


async def _down(name: str, kubeconfig: str | None, *, as_json: bool) -> int:
    async with attached_session(kubeconfig) as session:
        forwards = (await session.snapshot()).forwards if session is not None else ()
        # A profile whose file is gone, or wrong, can be ended nevertheless.
        mine = [one for one in forwards if one.spec.profile == name]
        try:
            found = forwards_of(profile_lookup.store().find(name).read(), forwards)
            mine += [one for one in found.values() if one not in mine]
        except (UsageError, ProfileError):
            if not mine:
                raise
        if session is not None:
            for one in mine:
                await session.stop(one.id)
    if as_json:
        for line in forward_output.json_lines(map(forward_output.forward_to_dict, mine)):
            click.echo(line)
    elif mine:
        click.echo(
            f"{name}: {forward_output.format_ready_count(mine).partition(',')[0]} off", err=True
        )
    else:
        click.echo(f"{name}: nothing was on", err=True)
    return ExitCode.DONE
