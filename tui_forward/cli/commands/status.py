"""`tui-forward ls`, `status` and `stop`: what runs in the engine process."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import click
import psutil

from tui_forward.cli import completers as completers
from tui_forward.cli import forward_output as forward_output
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.options import kubeconfig_option
from tui_forward.cli.output import one_line, style, use_color
from tui_forward.cli.sessions import attached_session, call_on_signals, run_async
from tui_forward.common.formatting import format_bytes, short_age
from tui_forward.daemon import RemoteSession
from tui_forward.errors import UsageError
from tui_forward.model import Forward, Snapshot

_WATCH_S = 0.5
_NOTICES = 5


@click.command(short_help="List the forwards that are on.")
@kubeconfig_option
@click.option("--json", "as_json", is_flag=True, help="One object per line.")
def ls(kubeconfig: str | None, as_json: bool) -> int:
    """List the forwards that are on."""
    return run_async(_ls(kubeconfig, as_json=as_json))


async def _ls(kubeconfig: str | None, *, as_json: bool) -> int:
    async with attached_session(kubeconfig) as session:
        forwards = (await session.snapshot()).forwards if session is not None else ()
    _print(forwards, as_json=as_json)
    return ExitCode.DONE


def _print(forwards: tuple[Forward, ...], *, as_json: bool) -> None:
    if as_json:
        for line in forward_output.json_lines(map(forward_output.forward_to_dict, forwards)):
            click.echo(line)
    elif forwards:
        for line in forward_output.format_table(forwards, color=use_color(sys.stdout)):
            click.echo(line)
    else:
        click.echo("no forward is on", err=True)


@click.command(short_help="Show the engine and its forwards.")
@kubeconfig_option
@click.option("--json", "as_json", is_flag=True, help="One object per line, the engine first.")
@click.option("--watch", is_flag=True, help="Keep showing it until Ctrl-C.")
def status(kubeconfig: str | None, as_json: bool, watch: bool) -> int:
    """Show the engine process, the API servers, and every forward."""
    if watch and as_json:
        raise UsageError("--watch is for people", hint="leave --json out, or call it again")
    if watch and not sys.stdout.isatty():
        raise UsageError("--watch needs a terminal", hint="leave it out, or call it again")
    return run_async(_watch(kubeconfig) if watch else _status(kubeconfig, as_json=as_json))


async def _status(kubeconfig: str | None, *, as_json: bool) -> int:
    async with attached_session(kubeconfig) as session:
        if session is None:
            if as_json:
                click.echo('{"engine":null}')
            else:
                click.echo("no engine runs", err=True)
            return ExitCode.DONE
        snapshot = await session.snapshot()
    if as_json:
        engine = {
            "engine": {"pid": session.engine_pid, "kubeconfig": session.kubeconfig},
            "keep_running": snapshot.keep_running,
            "forwards": len(snapshot.forwards),
            "notices": [
                {"time": one.at, "profile": one.profile, "text": one.text, "bad": one.is_problem}
                for one in snapshot.notices
            ],
        }
        for line in forward_output.json_lines(
            [engine, *map(forward_output.forward_to_dict, snapshot.forwards)]
        ):
            click.echo(line)
        return ExitCode.DONE
    for line in _shown(session, snapshot):
        click.echo(line)
    return ExitCode.DONE


def _shown(session: RemoteSession, snapshot: Snapshot) -> Iterator[str]:
    color = use_color(sys.stdout)
    totals = snapshot.totals
    yield f"engine {session.engine_pid}, {_since(session.engine_pid)}: " + (
        f"{forward_output.format_ready_count(snapshot.forwards)}, "
        f"{totals.connections_open} connections, "
        f"↓ {format_bytes(totals.bytes_from_pod)} ↑ {format_bytes(totals.bytes_to_pod)}"
        + ("" if snapshot.keep_running else "; ends with its last front end")
    )
    for health in snapshot.health:
        how = "answers" if health.ok else one_line(health.error) if health.ok is False else "…"
        yield f"API server of {one_line(health.context)}: {how}"
    yield from (
        forward_output.format_table(snapshot.forwards, color=color) if snapshot.forwards else ()
    )
    for notice in snapshot.notices[-_NOTICES:]:
        at = time.strftime("%H:%M:%S", time.localtime(notice.at))
        line = f"{at} profile {one_line(notice.profile)}: {one_line(notice.text)}"
        yield style(line, "33" if notice.is_problem else "2", color=color)


def _since(pid: int) -> str:
    try:
        return f"up {short_age(time.time() - psutil.Process(pid).create_time())}"
    except psutil.Error:
        return "ending"


async def _watch(kubeconfig: str | None) -> int:
    """Draw over what was drawn before, in the terminal's own text."""
    stop = asyncio.Event()
    drawn = 0
    with call_on_signals(stop.set):
        while not stop.is_set():
            async with attached_session(kubeconfig) as session:
                lines = ["no engine runs"]
                if session is not None:
                    lines = list(_shown(session, await session.snapshot()))
            above = f"\x1b[{drawn}A" if drawn else ""
            sys.stdout.write(above + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
            sys.stdout.flush()
            drawn = len(lines)
            try:
                async with asyncio.timeout(_WATCH_S):
                    await stop.wait()
            except TimeoutError:
                continue
    return ExitCode.DONE


@click.command(short_help="Switch forwards off.")
@click.argument("ids", metavar="[ID...]", nargs=-1, shell_complete=completers.complete_forwards)
@kubeconfig_option
@click.option("--all", "everything", is_flag=True, help="All that are on.")
@click.option("--json", "as_json", is_flag=True, help="One object per forward on stdout.")
def stop(ids: tuple[str, ...], kubeconfig: str | None, everything: bool, as_json: bool) -> int:
    """Switch forwards off, by the ID or NAME that `ls` shows.

    Without a dashboard that is open, the engine ends with the last one.
    """
    if bool(ids) is everything:
        raise UsageError(
            "say which forwards, or --all", hint="`tui-forward ls` shows those there are"
        )
    return run_async(_stop(ids, kubeconfig, as_json=as_json))


async def _stop(ids: tuple[str, ...], kubeconfig: str | None, *, as_json: bool) -> int:
    """Those that are named; if none is, all."""
    async with attached_session(kubeconfig) as session:
        forwards = (await session.snapshot()).forwards if session is not None else ()
        chosen: dict[str, Forward] = {} if ids else {one.id: one for one in forwards}
        for wanted in ids:
            found = [one for one in forwards if wanted in (one.id, one.spec.name)]
            if len(found) != 1:
                known = ", ".join(one.id for one in forwards) or "none"
                many = (
                    f'"{wanted}" means several forwards' if found else f"no forward {wanted} is on"
                )
                raise UsageError(many, hint=f"there are: {known}")
            chosen[found[0].id] = found[0]
        if session is not None:
            # Connections are given a moment to end, all of them at once.
            await asyncio.gather(*map(session.stop, chosen))
    for one in chosen.values():
        if as_json:
            click.echo(forward_output.json_line(forward_output.forward_to_dict(one)))
        else:
            click.echo(f"{one.id} off: {one_line(str(one.spec.target))}", err=True)
    if not chosen:
        click.echo("no forward was on", err=True)
    return ExitCode.DONE
