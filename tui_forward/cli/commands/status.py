"""`tui-forward ls`, `status` and `stop`: the forwards of the engine process."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator

import click

from tui_forward.cli import completers, forward_output
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.options import kubeconfig_option
from tui_forward.cli.output import style, use_color
from tui_forward.cli.proxy_output import describe_proxy, proxy_to_dict
from tui_forward.cli.sessions import attached_session, find_save_problem
from tui_forward.cli.signals import call_on_signals
from tui_forward.common.formatting import (
    describe_other_engine,
    format_bytes,
    format_clock,
    pluralize,
    short_age,
)
from tui_forward.common.printable import one_line
from tui_forward.daemon import RemoteSession
from tui_forward.errors import UsageError
from tui_forward.model import Forward, OtherEngine, ProxyInfo, Snapshot
from tui_forward.session.active_summary import describe_proxies, own_forwards
from tui_forward.session.batch import stop_forwards

_WATCH_S = 0.5
_MAX_NOTICES = 5


@click.command(short_help="List active forwards.")
@kubeconfig_option
@click.option("--json", "as_json", is_flag=True, help="One object per line.")
def ls(kubeconfig: str | None, as_json: bool) -> int:
    """List active forwards."""
    return asyncio.run(_ls(kubeconfig, as_json=as_json))


async def _ls(kubeconfig: str | None, *, as_json: bool) -> int:
    async with attached_session(kubeconfig) as session:
        snapshot = await session.snapshot() if session is not None else None
    forwards = snapshot.forwards if snapshot is not None else ()
    proxies = snapshot.proxies if snapshot is not None else ()
    forward_output.print_forwards(forwards, as_json=as_json, proxies=proxies)
    for other in _other_engines(kubeconfig):
        click.echo(one_line(describe_other_engine(other)), err=True)
    return ExitCode.DONE


@click.command(short_help="Show the engine and its forwards.")
@kubeconfig_option
@click.option("--json", "as_json", is_flag=True, help="One object per line, the engine first.")
@click.option("--watch", is_flag=True, help="Refresh until interrupted.")
def status(kubeconfig: str | None, as_json: bool, watch: bool) -> int:
    """Show the engine process, the API servers, and every forward."""
    if watch and as_json:
        raise UsageError("--watch cannot be combined with --json", hint="use one of them")
    if watch and not sys.stdout.isatty():
        raise UsageError("--watch needs a terminal", hint="omit it and run the command repeatedly")
    return asyncio.run(_watch(kubeconfig) if watch else _status(kubeconfig, as_json=as_json))


def _other_engines(kubeconfig: str | None) -> tuple[OtherEngine, ...]:
    from tui_forward.daemon.launcher import engine_socket
    from tui_forward.daemon.other_engines import find_other_engines

    return find_other_engines(engine_socket(kubeconfig, os.environ))


async def _status(kubeconfig: str | None, *, as_json: bool) -> int:
    async with attached_session(kubeconfig) as session:
        if session is None:
            if as_json:
                click.echo('{"engine":null}')
            else:
                click.echo("no engine is running", err=True)
                for other in _other_engines(kubeconfig):
                    click.echo(one_line(describe_other_engine(other)), err=True)
            return ExitCode.DONE
        snapshot = await session.snapshot()
    if as_json:
        engine = {
            "engine": {"pid": session.engine_pid, "kubeconfig": session.kubeconfig},
            "keep_running": snapshot.keep_running,
            "forwards": len(own_forwards(snapshot)),
            "proxies": len(snapshot.proxies),
            "notices": [
                {
                    "time": one.at, "profile": one.profile, "text": one.text,
                    "problem": one.is_problem,
                }
                for one in snapshot.notices
            ],
            "other_engines": [
                {"pid": one.pid, "kubeconfig": one.kubeconfig, "forwards": one.forwards}
                for one in _other_engines(kubeconfig)
            ],
        }  # fmt: skip
        for line in forward_output.json_lines(
            [
                engine,
                *(proxy_to_dict(one, snapshot.forwards) for one in snapshot.proxies),
                *map(forward_output.forward_to_dict, snapshot.forwards),
            ]
        ):
            click.echo(line)
        return ExitCode.DONE
    for line in _format_status(session, snapshot):
        click.echo(line)
    for other in _other_engines(kubeconfig):
        click.echo(one_line(describe_other_engine(other)))
    return ExitCode.DONE


def _format_status(session: RemoteSession, snapshot: Snapshot) -> Iterator[str]:
    color = use_color(sys.stdout)
    totals = snapshot.totals
    yield f"engine {session.engine_pid}, {_uptime(session.engine_pid)}: " + (
        f"{_format_active(snapshot)}, "
        f"{pluralize(totals.connections_open, 'connection')}, "
        f"↓ {format_bytes(totals.bytes_from_pod)} ↑ {format_bytes(totals.bytes_to_pod)}"
        + ("" if snapshot.keep_running else "; stops when the last client disconnects")
    )
    for health in snapshot.health:
        state = "ok" if health.ok else one_line(health.error) if health.ok is False else "…"
        insecure = ", its certificate is not verified" if health.insecure else ""
        yield f"API server of {one_line(health.context)}: {state}{insecure}"
    yield from forward_output.table_lines(snapshot.forwards, snapshot.proxies, color=color)
    for notice in snapshot.notices[-_MAX_NOTICES:]:
        about = f"profile {one_line(notice.profile)}" if notice.profile else "engine"
        line = f"{format_clock(notice.at)} {about}: {one_line(notice.text)}"
        yield style(line, "33" if notice.is_problem else "2", color=color)


def _format_active(snapshot: Snapshot) -> str:
    forwards = forward_output.format_ready_count(own_forwards(snapshot))
    proxies = len(snapshot.proxies)
    return f"{forwards}, {describe_proxies(proxies)}" if proxies else forwards


def _uptime(pid: int) -> str:
    import psutil  # slow to import

    try:
        return f"up {short_age(time.time() - psutil.Process(pid).create_time())}"
    except psutil.Error:
        return "stopping"


async def _watch(kubeconfig: str | None) -> int:
    """Print the status repeatedly, each time over the lines before."""
    stop = asyncio.Event()
    printed = 0
    with call_on_signals(stop.set):
        while not stop.is_set():
            async with attached_session(kubeconfig) as session:
                lines = ["no engine is running"]
                if session is not None:
                    lines = list(_format_status(session, await session.snapshot()))
            cursor_up = f"\x1b[{printed}A" if printed else ""
            sys.stdout.write(cursor_up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
            sys.stdout.flush()
            printed = len(lines)
            try:
                async with asyncio.timeout(_WATCH_S):
                    await stop.wait()
            except TimeoutError:
                continue
    return ExitCode.DONE


@click.command(short_help="Stop forwards.")
@click.argument("ids", metavar="[ID...]", nargs=-1, shell_complete=completers.complete_forwards)
@kubeconfig_option
@click.option("--all", "stop_all", is_flag=True, help="Stop all forwards.")
@click.option("--json", "as_json", is_flag=True, help="One object per forward on stdout.")
def stop(ids: tuple[str, ...], kubeconfig: str | None, stop_all: bool, as_json: bool) -> int:
    """Stop forwards and cluster proxies, by the ID or NAME that `ls` prints.

    The engine stops with the last forward, unless a dashboard is open.
    """
    if bool(ids) is stop_all:
        raise UsageError("specify forwards or --all", hint="`tui-forward ls` lists them")
    return asyncio.run(_stop(ids, kubeconfig, as_json=as_json))


async def _stop(ids: tuple[str, ...], kubeconfig: str | None, *, as_json: bool) -> int:
    """Stop the forwards and proxies of `ids`, or all if it is empty."""
    async with attached_session(kubeconfig) as session:
        snapshot = await session.snapshot() if session is not None else Snapshot(version=0, at=0.0)
        forwards, proxies = _select(snapshot, ids, kubeconfig)
        if session is None or not (forwards or proxies):
            click.echo("no active forwards", err=True)
            return ExitCode.DONE
        for proxy in proxies:
            await session.stop_proxy(proxy.id)
            if as_json:
                record = proxy_to_dict(proxy, snapshot.forwards)
                click.echo(forward_output.json_line(record))
            else:
                click.echo(f"stopped {proxy.id}: {one_line(describe_proxy(proxy))}", err=True)
        result = await stop_forwards(session, forwards)
        save_problem = await find_save_problem(session)
    failed = {one.id for one, _ in result.failed}
    for one in forwards:
        if one.id in failed:
            continue
        if as_json:
            click.echo(forward_output.json_line(forward_output.forward_to_dict(one)))
        else:
            click.echo(f"stopped {one.id}: {one_line(str(one.spec.target))}", err=True)
    for one, error in result.failed:
        text = f"cannot stop {one.id}: {one.spec.target}: {error.message}"
        click.echo(one_line(text), err=True)
    forward_output.print_save_problem(save_problem)
    return ExitCode.FAILED if failed else ExitCode.DONE


def _select(
    snapshot: Snapshot, ids: tuple[str, ...], kubeconfig: str | None
) -> tuple[list[Forward], list[ProxyInfo]]:
    """Return what `ids` name, or all; UsageError for a name of none, or of several.

    What a proxy has opened ends with it, unless it is named.
    """
    if not ids:
        return own_forwards(snapshot), list(snapshot.proxies)
    forwards: dict[str, Forward] = {}
    proxies: dict[str, ProxyInfo] = {}
    for name in ids:
        found = [one for one in snapshot.forwards if name in (one.id, one.spec.name)]
        proxy = next((one for one in snapshot.proxies if one.id == name), None)
        if proxy is not None:
            proxies[name] = proxy
        elif len(found) == 1:
            forwards[found[0].id] = found[0]
        else:
            known = [one.id for one in snapshot.proxies]
            known += [one.id for one in snapshot.forwards]
            others = map(describe_other_engine, _other_engines(kubeconfig))
            available = one_line("; ".join([", ".join(known) or "none", *others]))
            raise UsageError(
                f'"{name}" matches several forwards' if found else f'no active forward "{name}"',
                hint=f"available: {available}",
            )
    return list(forwards.values()), list(proxies.values())
