"""Forwards and lists of a server that options name, without a context."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.kube.api_server import serving
from tests.kube.certificates import Authority, server_context
from tests.kube.objects import pod
from tui_forward.common.access_options import parse_access_options
from tui_forward.common.kubectl_command import format_command
from tui_forward.errors import ConfigError
from tui_forward.model import (
    NO_CONTEXT,
    NO_OPTIONS,
    AccessOptions,
    CatalogScope,
    ForwardSpec,
    Target,
    TargetKind,
)
from tui_forward.session.local import LocalSession


def spec(options: AccessOptions = NO_OPTIONS) -> ForwardSpec:
    target = Target(context="", namespace="", kind=TargetKind.POD, name="web-1", port="80")
    return ForwardSpec(target=replace(target, options=options), local_port=0)


async def test_server_of_the_options_needs_no_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    tls = server_context(Authority().issue("server"), tmp_path)
    async with serving(tls=tls, tokens={"t0ken"}) as server:
        server.put("pods", pod("web-1", namespace="default"))
        values = {
            "server": [server.url], "token": ["t0ken"], "insecure-skip-tls-verify": ["true"]
        }  # fmt: skip
        options = parse_access_options(values)
        session = LocalSession(None, monitor_system=False)
        with pytest.raises(ConfigError, match="KUBECONFIG names no file"):
            await session.start(spec())
        forward_id = await session.start(spec(options))
        started = (await session.snapshot()).forwards[0].spec.target
        assert (started.context, started.namespace) == (NO_CONTEXT, "default")

        # From the watch of the forward, and from the list of the dashboard.
        scope = CatalogScope("", "default", options)
        names: list[str] = []
        async with asyncio.timeout(60):
            while names != ["web-1"] or not server.requests:
                view = await session.catalog(scope)
                names = [one.name for one in view.pods]
                await asyncio.sleep(0.005)
        await session.stop(forward_id)
        await session.close()


def test_command_of_a_forward_without_a_context() -> None:
    options = parse_access_options({"server": ["https://127.0.0.1:6443"], "token": ["t0ken"]})
    one = spec(options)
    target = replace(one.target, context=NO_CONTEXT, namespace="shop")
    command = format_command(replace(one, target=target))
    assert command == (
        'tui-forward forward -n shop pod/web-1 :80 --server https://127.0.0.1:6443 --token "$TOKEN"'
    )
