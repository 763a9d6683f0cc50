"""Checks of the cluster's listing and of each transport."""

from __future__ import annotations

import time

from tui_forward.cli.demo import traffic
from tui_forward.cli.demo.check_result import CheckResult, require
from tui_forward.cli.demo.environment import (
    COUNTERS,
    ECHO,
    SINK,
    SOURCE,
    DemoEnvironment,
    DemoForward,
    wait_until,
)
from tui_forward.common.formatting import format_bytes, milliseconds, pluralize
from tui_forward.kube.official_client import list_pod_names
from tui_forward.model import TransportChoice

_BULK_BYTES = 16 * 1000 * 1000
_SETTLE_S = 20.0


async def check_cluster_listing(demo: DemoEnvironment) -> CheckResult:
    """Check that namespaces and pods are listed, and that the official client lists the same."""
    began = time.perf_counter()
    await demo.wait_listed()
    seconds = time.perf_counter() - began
    await demo.wait_toolbox()
    await _require_same_list(demo)
    ready = sum(pod.ready for pod in demo.pods.values())
    return CheckResult(
        f"{pluralize(len(demo.pods), 'pod')} ({ready} ready) in "
        f"{pluralize(len(demo.namespaces), 'namespace')}, {milliseconds(seconds)}"
        " · the official client lists the same",
        {"pods": len(demo.pods), "namespaces": len(demo.namespaces), "list_s": seconds},
    )


async def _require_same_list(demo: DemoEnvironment) -> None:
    async def same() -> bool:
        names = await list_pod_names(demo.kubeconfig, demo.context)
        await demo.refresh()
        return names == {(pod.namespace, pod.name) for pod in demo.pods.values()}

    # The cluster may still create pods between the two lists.
    require(await wait_until(same, _SETTLE_S), "the official client lists other pods")


async def check_byte_counts(demo: DemoEnvironment, transport: TransportChoice) -> CheckResult:
    """Check that bytes arrive unchanged both ways and that both ends count the same."""
    async with (
        demo.open_forward(ECHO, transport=transport) as echo,
        demo.open_forward(SOURCE, transport=transport) as source,
        demo.open_forward(SINK, transport=transport) as sink,
        demo.open_forward(COUNTERS, transport=transport) as counters,
    ):
        used = (await echo.status()).transport
        require(used is transport, f"requested {transport.value}, got {used}")
        await traffic.echo(echo.address)  # the first one may fill caches
        first_byte = await traffic.median_s(30, lambda: traffic.echo(echo.address))
        await traffic.echo(echo.address, bytes(range(256)) * 256)
        before = [await demo.pod_byte_counts(counters, port) for port in (SOURCE, SINK)]
        down = await traffic.download(source.address, _BULK_BYTES)
        up = await traffic.upload(sink.address, _BULK_BYTES)
        after = [await demo.pod_byte_counts(counters, port) for port in (SOURCE, SINK)]
        for forward, then, now in zip((source, sink), before, after, strict=True):
            pod = (now[0] - then[0], now[1] - then[1])
            await _require_equal_counters(forward, pod)
    return CheckResult(
        f"first byte {milliseconds(first_byte)}"
        f" · ↓ {format_bytes(_BULK_BYTES / down)}/s ↑ {format_bytes(_BULK_BYTES / up)}/s"
        " · counters equal the pod's",
        {
            "first_byte_s": first_byte,
            "download_bytes_per_s": _BULK_BYTES / down,
            "upload_bytes_per_s": _BULK_BYTES / up,
        },
    )


async def _require_equal_counters(forward: DemoForward, pod: tuple[int, int]) -> None:
    """Wait until counters match: a client may have bytes that are not counted yet."""
    ours = (0, 0)

    async def equal() -> bool:
        nonlocal ours
        ours = await forward.byte_counts()
        return ours == pod

    require(
        await wait_until(equal, _SETTLE_S),
        f"counted {ours} bytes from and to the pod, the pod counted {pod}",
    )
