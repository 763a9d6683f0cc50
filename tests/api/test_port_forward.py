"""The library on the embedded cluster, as a program uses it."""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import tui_forward
from tests.support.cluster_process import REPOSITORY, ClusterProcess
from tests.support.waiting import until
from tui_forward import (
    ConfigError,
    ConnectionState,
    EventKind,
    ForwardError,
    ForwardState,
    NotReadyError,
    PortForward,
    ReasonCode,
    StartError,
    UsageError,
    forward,
    forward_all,
)
from tui_forward.api import port_forward
from tui_forward.common import paths
from tui_forward.common.logging_levels import redact_records


def web(**options: Any) -> PortForward:
    return forward("deploy/web", "http", namespace="shop", local_port=0, **options)


def fetch(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return len(answer.read())


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def test_bytes_flow_and_are_counted(cluster: ClusterProcess) -> None:
    with web() as one:
        assert one.host == "127.0.0.1"
        assert one.url("https", "/x") == f"https://127.0.0.1:{one.port}/x"
        size = fetch(one.url())
        kinds = []
        for event in one.events():
            kinds.append(event.event)
            if event.event is EventKind.CONNECTION_CLOSED:
                break
        (connection,) = one.connections()
        status = one.status
    assert status.state is ForwardState.READY
    assert status.counters.connections_total == 1
    assert connection.state is ConnectionState.CLOSED
    assert connection.bytes_from_pod > size > 0
    assert kinds[0] is EventKind.LISTENING
    assert kinds[-2:] == [EventKind.CONNECTION_OPENED, EventKind.CONNECTION_CLOSED]
    assert not is_open(one.port)


def test_connections_are_spread_over_the_pods_of_a_service(cluster: ClusterProcess) -> None:
    with forward("svc/stock", "http", namespace="shop", local_port=0, balance="spread") as one:
        for _ in range(12):
            fetch(one.url())
        pods = {connection.pod for connection in one.connections()}
    assert len(pods) > 1
    with pytest.raises(UsageError, match="spread over pod/x alone"):
        forward("pod/x", 80, balance="spread")
    with pytest.raises(UsageError, match="not a way to balance"):
        forward("svc/x", 80, balance="most")


def test_forward_cannot_be_used_after_its_end(cluster: ClusterProcess) -> None:
    with web() as one:
        one.stop()
        one.stop()
        with pytest.raises(ForwardError, match="the forward is stopped"):
            _ = one.status
        assert [event.event for event in one.events()][-1] is EventKind.STOPPED
    for use in (one.wait_ready, one.connections, one.reconnect, lambda: list(one.events())):
        with pytest.raises(ForwardError, match="the forward is stopped") as error:
            use()
        assert error.value.code is ReasonCode.FORWARD_STOPPED


def test_forward_can_be_started_again_but_not_twice_at_once(cluster: ClusterProcess) -> None:
    one = web()
    for _ in range(2):
        with one as active:
            assert fetch(active.url())
            with pytest.raises(UsageError, match="the forward is active"):
                one.__enter__()


def test_several_start_together_and_share_a_thread(cluster: ClusterProcess) -> None:
    threads = threading.active_count()
    echo = forward("deploy/echo", "echo", namespace="shop", local_port=0)
    with forward_all(web(), echo, web()) as (first, second, third):
        assert threading.active_count() >= threads + 1
        assert sum(thread.name == "tui-forward" for thread in threading.enumerate()) == 1
        assert len({first.port, second.port, third.port}) == 3
        with socket.create_connection((second.host, second.port), 10) as client:
            client.sendall(b"hello")
            assert client.recv(5)
        assert fetch(first.url()) == fetch(third.url())


def test_none_is_left_if_one_of_several_fails(cluster: ClusterProcess) -> None:
    with web() as other:
        before = other.status
        missing = forward("deploy/missing", 80, namespace="shop")
        with pytest.raises(StartError, match='no deployment "missing"') as error:
            forward_all(web(), missing).__enter__()
        assert error.value.code is ReasonCode.TARGET_NOT_FOUND
        assert error.value.__notes__ == [f"Hint: {error.value.hint}"]
        # The engine of both still runs, with one forward.
        engine = other._handle.engine

        async def ids(session: object) -> list[str]:
            return [one.id for one in (await session.snapshot()).forwards]  # type: ignore[attr-defined]

        assert engine.wait(ids) == [before.id]


def test_forward_that_is_not_ready_in_time(cluster: ClusterProcess) -> None:
    waiting = forward("deploy/search", 80, namespace="shop", local_port=0, ready_timeout=0.3)
    with pytest.raises(NotReadyError, match=r"not ready within 0\.3s: ") as error:
        waiting.__enter__()
    assert isinstance(error.value, TimeoutError)
    assert error.value.code is not ReasonCode.FORWARD_FAILED


def test_forward_that_is_not_waited_for(cluster: ClusterProcess) -> None:
    with forward("deploy/search", 80, namespace="shop", local_port=0, ready_timeout=0) as one:
        assert is_open(one.port)
        assert one.status.state is not ForwardState.READY
        with pytest.raises(NotReadyError):
            one.wait_ready(0.2)


def test_taken_local_port_is_an_error(cluster: ClusterProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options: dict[str, Any] = {"local_port": port, "address": "127.0.0.1", "ready_timeout": 0}
        one = forward("deploy/web", "http", namespace="shop", **options)
        with pytest.raises(StartError, match=f"{port}"):
            one.__enter__()


async def test_twin_for_coroutines(cluster: ClusterProcess) -> None:
    async with web() as one:
        assert await asyncio.to_thread(fetch, one.url())
        assert (await one.status()).state is ForwardState.READY
        assert (await one.wait_ready()).id == (await one.status()).id
        assert len(await one.connections()) == 1
        await one.reconnect()
        assert (await one.wait_ready()).state is ForwardState.READY
        kinds = []
        async for event in one.events():
            kinds.append(event.event)
            if event.event is EventKind.CONNECTION_OPENED:
                break
        await one.stop()
        assert [event.event async for event in one.events()][-1] is EventKind.STOPPED
    with pytest.raises(ForwardError, match="the forward is stopped"):
        await one.status()
    assert kinds[0] is EventKind.LISTENING


async def test_cancellation_at_the_start_leaves_none(cluster: ClusterProcess) -> None:
    waiting = forward("deploy/search", 80, namespace="shop", ready_timeout=None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5), waiting:
            pytest.fail("it is never ready")


async def test_cancellation_in_the_block_stops_the_forward(cluster: ClusterProcess) -> None:
    ports: list[int] = []

    async def use() -> None:
        async with web() as one:
            ports.append(one.port)
            await asyncio.sleep(30)

    task = asyncio.create_task(use())
    await until(lambda: bool(ports))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_open(ports[0])


async def test_plain_form_works_inside_a_running_loop(cluster: ClusterProcess) -> None:
    """As in Jupyter, whose cells run in the loop's thread."""
    with web() as one:
        assert fetch(one.url())


def test_forward_without_a_block_runs_until_it_is_stopped(cluster: ClusterProcess) -> None:
    """As in the cells of a notebook."""
    one = web()
    active = one.start()
    assert fetch(active.url())
    with pytest.raises(UsageError, match="the forward is active"):
        one.start()
    one.stop()
    one.stop()
    assert not is_open(active.port)
    again = one.start()
    assert fetch(again.url())
    one.stop()


def test_forward_is_used_by_several_threads(cluster: ClusterProcess) -> None:
    sizes: list[int] = []

    def use() -> None:
        with web() as one:
            sizes.append(fetch(one.url()))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(sizes) == 4
    assert all(sizes)


def test_fork_cannot_use_the_forward_and_does_not_hold_its_port(cluster: ClusterProcess) -> None:
    with web() as one:
        fetch(one.url())
        answer, write = os.pipe()
        child = os.fork()
        if not child:
            text = "no error"
            try:
                one.connections()
            except ForwardError as error:
                text = str(error)
            os.write(write, text.encode())
            os.close(write)
            signal.pause()
            os._exit(0)
        os.close(write)
        try:
            with os.fdopen(answer) as file:
                text = file.read()
            assert text == "the forward belongs to the process that this one was forked from"
            assert fetch(one.url())
            one.stop()
            assert not is_open(one.port)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_own_forward_of_a_fork(cluster: ClusterProcess) -> None:
    with web():
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException), web() as own:
                code = 0 if fetch(own.url()) else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=os.environ | variables,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_program_that_forgets_its_forward_ends(cluster: ClusterProcess) -> None:
    done = run(
        "import tui_forward\n"
        "one = tui_forward.forward('deploy/web', 'http', namespace='shop', local_port=0)\n"
        "print(one.__enter__().status.state)\n"
    )
    assert (done.stdout, done.stderr, done.returncode) == ("ready\n", "", 0)


def test_ctrl_c_at_the_start_leaves_none(cluster: ClusterProcess) -> None:
    done = run(
        "import os, signal, threading, tui_forward\n"
        "one = tui_forward.forward('deploy/search', 80, namespace='shop', ready_timeout=None)\n"
        "threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    one.__enter__()\n"
        "except KeyboardInterrupt:\n"
        "    others = set(threading.enumerate()) - {threading.current_thread()}\n"
        "    for thread in others:\n"
        "        thread.join(30)  # one that imports a module, on a busy machine\n"
        "    print([thread.name for thread in others if thread.is_alive()])\n"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_forward_in_the_engine_process_is_seen_by_others(cluster: ClusterProcess) -> None:
    with web(daemon=True) as one:
        assert fetch(one.url())
        listed = subprocess.run(
            [sys.executable, "-m", "tui_forward", "ls"],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
        assert f":{one.port}" in listed
    assert not is_open(one.port)


def test_protected_context_needs_permission(cluster: ClusterProcess) -> None:
    settings = paths.settings_file()
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('protected_contexts = ["mini*"]\n')
    for refused in (web(), forward_all(web(allow_protected=True), web())):
        with pytest.raises(UsageError, match="minicluster! is protected"):
            refused.__enter__()
    with web(allow_protected=True) as one:
        assert fetch(one.url())


def test_kubeconfig_problems_are_errors_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ConfigError):
        web().__enter__()
    with pytest.raises(ConfigError):
        web(kubeconfig=tmp_path / "other").__enter__()
    with pytest.raises(ConfigError), web(address="::1", context="x"):
        pass


def test_unknown_context_is_an_error_of_the_start(cluster: ClusterProcess) -> None:
    with pytest.raises(ConfigError, match='no context "nowhere"') as error:
        web(context="nowhere").__enter__()
    assert error.value.code is ReasonCode.CONFIG_CONTEXT_MISSING


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("",), {}, "a forward has a target or a selector"),
        (("svc/web", 80), {"selector": "app=web"}, "a forward has a target or a selector"),
        (("svc/web", 0), {}, "out of range"),
        (("svc/web", "8080:80"), {}, "is not a port"),
        (("nothing/web", 80), {}, "is not a kind of object that has pods"),
        (("svc/web", 80), {"pin": True}, "only a pod can be pinned"),
        (("svc/web", 80), {"local_port": 70000}, "70000 is not a port"),
        (("svc/web", 80), {"address": "nowhere"}, "nowhere"),
        (("svc/web", 80), {"ready_timeout": -1}, "below zero"),
        (("svc/web", 80), {"ready_timeout": float("nan")}, "below zero"),
        (("svc/web", 80), {"transport": "pigeon"}, "pigeon"),
    ],
)
def test_invalid_arguments(
    arguments: tuple[object, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        forward(*arguments, **options)  # type: ignore[arg-type]


def test_import_is_small() -> None:
    done = run(
        "import sys, tui_forward\n"
        "assert 'asyncio' not in sys.modules\n"
        "tui_forward.forward\n"
        "print({'textual', 'grpc', 'kubernetes', 'aiohttp', 'google'} & set(sys.modules))\n"
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_public_names_exist() -> None:
    assert all(getattr(tui_forward, name) is not None for name in tui_forward.__all__)
    assert dir(tui_forward) == tui_forward.__all__
    with pytest.raises(AttributeError, match="no attribute 'backward'"):
        _ = tui_forward.backward


def test_examples_of_the_documentation(cluster: ClusterProcess) -> None:
    names = {"asyncio": asyncio, "urllib": urllib, "tui_forward": tui_forward}
    result = doctest.testmod(port_forward, extraglobs=names)
    assert result.attempted >= 6
    assert result.failed == 0


def test_records_of_the_engine_reach_the_program_without_secrets(
    cluster: ClusterProcess, caplog: pytest.LogCaptureFixture
) -> None:
    redact_records()
    with caplog.at_level(logging.INFO, logger="tui_forward"):
        logger = logging.getLogger("tui_forward.engine.example")
        try:
            raise ValueError("Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789")
        except ValueError:
            logger.exception("password=%s", "hunter2hunter2")
    assert "example" in caplog.text or caplog.records[0].name.endswith("example")
    assert "hunter2" not in caplog.text
    assert "abcdefghij" not in caplog.text
