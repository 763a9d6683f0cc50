"""Spread forwards and the cluster proxy with pods of a real containerd."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.containerd.conftest import RealChain, app_pod, create
from tests.e2e.processes import PROGRAM, TIMEOUT_S, Process, environment, wait_until
from tests.support.echo_load import echo_load
from tui_forward.model import Balance, Forward, ForwardSpec, PodShareState, Target, TargetKind
from tui_forward.session.local import LocalSession

pytestmark = [pytest.mark.containerd, pytest.mark.timeout(300)]

REPLICAS = 3


def deployment(name: str, app: str, port: int, replicas: int, **env: str) -> list[dict[str, Any]]:
    """Return a deployment, and a service with port 80 for its pods."""
    template = app_pod(name, app, port, **env)
    # Longer than the program serves after SIGTERM.
    template["spec"]["terminationGracePeriodSeconds"] = 10
    metadata = {"name": name, "namespace": "default"}
    labels = {"app": name}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {**template, "metadata": {"labels": labels}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": app}]},
        },
    ]


@pytest.fixture
def created(real_chain: RealChain) -> Iterator[Callable[..., None]]:
    """Return a function that creates deployments; delete them with their containers."""
    names: list[str] = []

    def tasks() -> set[str]:
        lines = real_chain.containerd.ctr("tasks", "ls").splitlines()[1:]
        return {line.split()[0] for line in lines}

    before = tasks()

    def create_all(*objects: dict[str, Any]) -> None:
        names.extend(each["metadata"]["name"] for each in objects if each["kind"] == "Deployment")
        create(real_chain, *objects)

    yield create_all
    real_chain.kubectl("delete", "deploy,svc", *names, "--wait=false")
    wait_until(lambda: tasks() <= before, "the containers to be removed")


async def reached(session: LocalSession, condition: Callable[[Forward], object]) -> Forward:
    """Return the only forward once a condition is true."""
    async with asyncio.timeout(90):
        while True:
            (forward,) = (await session.snapshot()).forwards
            if condition(forward):
                return forward
            await asyncio.sleep(0.02)


def ready_pods(forward: Forward) -> set[str]:
    return {each.pod.name for each in forward.pods if each.state is PodShareState.READY}


async def test_rollout_under_load_fails_no_request(
    real_chain: RealChain, created: Callable[..., None]
) -> None:
    await asyncio.to_thread(
        created, *deployment("spread", "echo", 7000, REPLICAS, TERM_DELAY_S="2")
    )
    target = Target(
        context="",
        namespace="default",
        kind=TargetKind.SERVICE,
        name="spread",
        port="80",
        balance=Balance.SPREAD,
    )
    spec = ForwardSpec(
        target=target, local_port=0, addresses=("127.0.0.1",), half_close_timeout_s=0.1
    )
    session = LocalSession(real_chain.kubeconfig)
    try:
        forward_id = await session.start(spec)
        forward = await reached(session, lambda one: len(ready_pods(one)) == REPLICAS)
        before = ready_pods(forward)
        async with echo_load(forward.listening[0].port) as load:
            await load.serves(50)
            patch = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
            await asyncio.to_thread(
                real_chain.kubectl, "patch", "deploy", "spread", "-p", json.dumps(patch)
            )
            await reached(
                session,
                lambda one: len(ready_pods(one)) == REPLICAS and not ready_pods(one) & before,
            )
            await load.serves(50)
        (forward,) = (await session.snapshot()).forwards
        timeline = [entry.text for entry in await session.timeline(forward_id)]
        assert load.failures == [], timeline
        assert forward.counters.connections_failed == 0, timeline
        assert all(share.connections_total for share in forward.pods)
    finally:
        for one in (await session.snapshot()).forwards:
            await session.stop(one.id)
        await session.close()


def socks5_page(port: int, host: str) -> str:
    """Return what port 80 of a host answers through SOCKS5, which resolves the name."""
    name = host.encode()
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock, sock.makefile("rb") as f:
        sock.sendall(b"\x05\x01\x00")
        assert f.read(2) == b"\x05\x00"
        sock.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + (80).to_bytes(2, "big"))
        assert f.read(10)[:2] == b"\x05\x00"
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return f.read().decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_proxy_reaches_services_by_name(
    real_chain: RealChain, created: Callable[..., None]
) -> None:
    titles = {"front": "The front page", "back": "The back office"}
    created(
        *(
            each
            for name, title in titles.items()
            for each in deployment(name, "http-site", 8080, 1, TITLE=title)
        )
    )
    for name in titles:
        real_chain.kubectl("wait", "--for=condition=Available", f"deploy/{name}", "--timeout=60s")
    process = Process(
        *PROGRAM, "proxy", "--port", "0", "--json", "--kubeconfig", str(real_chain.kubeconfig),
        env=environment(real_chain.kubeconfig.parent),
    )  # fmt: skip
    try:
        wait_until(
            lambda: any(each["event"] == "listening" for each in process.events),
            "the proxy to listen", state=process.output,
        )  # fmt: skip
        listening = next(each for each in process.events if each["event"] == "listening")
        port = listening["listening"][0]["port"]
        for name, title in titles.items():
            for host in (name, f"{name}.default", f"{name}.default.svc.cluster.local"):
                assert title in socks5_page(port, host), host
            command = ["curl", "-sS", "-m", "30", f"http://{name}.default.localhost:{port}/"]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
                env={**os.environ, "NO_PROXY": "*"},
            )  # fmt: skip
            assert title in done.stdout
    finally:
        assert process.stop(signal.SIGINT) == 0
