"""Facts that are read only in trouble: how often, and what happens without a right to read them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.catalog.harness import Setup, pod_named, reason, resolution
from tests.kube.api_server import Reply, Request
from tests.kube.objects import pod
from tests.support.waiting import until
from tui_forward.catalog import evidence
from tui_forward.model import ReasonCode, Resolution, Resolved, TargetKind, Unresolved
from tui_forward.reasons import reason_text

POD = TargetKind.POD


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_READ_AFTER_S", (0.0, 0.02))
    monkeypatch.setattr(evidence, "_READ_EVERY_S", 0.02)


def warning(name: str, why: str, message: str, at: int, uid: str = "uid-web-1") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "involvedObject": {"name": "web-1", "uid": uid},
        "type": "Warning",
        "reason": why,
        "message": message,
        "eventTime": f"2026-01-01T00:00:{at:02}.000000Z",
    }


def creating() -> dict[str, Any]:
    return pod("web-1", phase="Pending", waiting="ContainerCreating")


def caution(current: Resolution) -> str:
    found = current.caution if isinstance(current, Resolved) else None
    return reason_text(found) if found is not None else ""


async def test_cause_that_comes_later_is_found(setup: Setup) -> None:
    setup.server.put("pods", creating())
    watch = setup.watch(POD, "web-1")
    await reason(watch, "web-1 is still being created")
    setup.server.put("events", warning("a", "FailedMount", "no secret x", 1))
    await reason(watch, "web-1 is still being created: no secret x")


async def test_latest_event_that_fits_is_the_cause(setup: Setup) -> None:
    setup.server.put("pods", creating())
    for event in (
        warning("a", "FailedScheduling", "0/3 nodes are available", 8),  # before it was scheduled
        warning("b", "FailedMount", "no secret y", 2),
        warning("c", "FailedCreatePodSandBox", "no address left", 3),
        warning("d", "FailedMount", "of a pod of the same name", 9, uid="another"),
    ):
        setup.server.put("events", event)
    await reason(setup.watch(POD, "web-1"), "web-1 is still being created: no address left")


async def test_same_event_with_another_text_is_no_news(setup: Setup) -> None:
    setup.server.put("pods", creating())
    setup.server.put("events", warning("a", "FailedMount", "try 1", 1))
    watch = setup.watch(POD, "web-1")
    found = await reason(watch, "try 1")
    setup.server.put("events", warning("a", "FailedMount", "try 2", 2))
    count = setup.server.count("list", "events")
    await until(lambda: setup.server.count("list", "events") > count + 2)
    assert watch.current == found


async def test_nothing_is_read_for_a_healthy_pod_or_a_plain_fault(setup: Setup) -> None:
    setup.server.put("pods", pod("web-1"))
    await pod_named(setup.watch(POD, "web-1"), "web-1")
    setup.server.put("pods", pod("web-2", waiting="CreateContainerConfigError"))
    await reason(setup.watch(POD, "web-2"), "cannot be created")
    read = {request.plural for request in setup.server.requests}
    assert read == {"pods"}


async def test_reading_ends_with_the_trouble(setup: Setup) -> None:
    setup.server.put("pods", creating())
    watch = setup.watch(POD, "web-1")
    await until(lambda: setup.server.count("list", "events") > 2)
    setup.server.put("pods", pod("web-1"))
    await pod_named(watch, "web-1")
    count = setup.server.count("list", "events")
    await asyncio.sleep(0.1)
    assert setup.server.count("list", "events") <= count + 1  # one may have been on its way
    assert watch.current == await pod_named(watch, "web-1")


@pytest.mark.parametrize("resource", ["events", "nodes"])
async def test_what_may_not_be_read_is_asked_for_once(setup: Setup, resource: str) -> None:
    setup.server.denied = {("*", resource)}
    setup.server.put("nodes", {"metadata": {"name": "node-a"}})
    setup.server.put("pods", pod("web-1", ready=False))
    setup.server.put("events", warning("a", "Unhealthy", "probe failed", 1))
    watch = setup.watch(POD, "web-1")
    await resolution(watch, lambda r: caution(r).startswith("pod web-1 is not Ready"))
    if resource == "nodes":
        await resolution(watch, lambda r: caution(r).endswith("probe failed"))
        return
    await until(lambda: setup.server.count("list", "events") == 1)
    await asyncio.sleep(0.1)
    assert setup.server.count("list", "events") == 1
    assert caution(watch.current) == "pod web-1 is not Ready"


async def test_node_tells_before_the_probe(setup: Setup) -> None:
    setup.server.put("pods", pod("web-1", ready=False))
    setup.server.put("events", warning("a", "Unhealthy", "probe failed", 1))
    watch = setup.watch(POD, "web-1")
    await resolution(watch, lambda r: "node node-a does not exist" in caution(r))
    setup.server.put(
        "nodes",
        {
            "metadata": {"name": "node-a"},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "gone"}]},
        },
    )
    await resolution(watch, lambda r: caution(r) == "node node-a is NotReady: gone")
    setup.server.put("nodes", {"metadata": {"name": "node-a"}})
    await resolution(watch, lambda r: caution(r).endswith("probe failed"))


async def test_failed_read_is_repeated(setup: Setup) -> None:
    setup.server.put("pods", creating())
    setup.server.put("events", warning("a", "FailedMount", "no secret", 1))
    failures = [Reply(500, b"no"), Reply(200, b"<html>")]

    def fail(request: Request) -> Reply | None:
        return failures.pop() if request.plural == "events" and failures else None

    setup.server.intercept = fail
    await reason(setup.watch(POD, "web-1"), "no secret")
    assert not failures


async def test_namespace_that_appears_is_not_reported_missing(setup: Setup) -> None:
    watch = setup.watch(POD, "web-1", with_namespace=False)
    await reason(watch, "namespace shop does not exist")
    setup.server.put("namespaces", {"metadata": {"name": "shop"}})
    await reason(watch, 'there is no pod "web-1" in namespace shop')


async def test_cause_of_a_failed_pull_stays_while_a_kubelet_only_announces_the_next(
    setup: Setup,
) -> None:
    failed = pod("web-1", phase="Pending", waiting="ErrImagePull", waiting_message="no such tag")
    setup.server.put("pods", failed)
    watch = setup.watch(POD, "web-1")
    found = await reason(watch, "cannot pull its image: no such tag")
    announced = 'Back-off pulling image "x:1"'
    setup.server.put(
        "pods",
        pod("web-1", phase="Pending", waiting="ImagePullBackOff", waiting_message=announced),
    )
    later = failed["status"]["containerStatuses"][0]["state"]["waiting"]
    later["message"] = "no such host"
    setup.server.put("pods", failed)
    assert await watch.changed(found) == await reason(watch, "no such host")


async def test_closed_watch_stops_reading(setup: Setup) -> None:
    setup.server.put("pods", creating())
    watch = setup.watch(POD, "web-1")
    await until(lambda: setup.server.count("list", "events") > 0)
    watch.close()
    count = setup.server.count("list", "events")
    await asyncio.sleep(0.1)
    assert setup.server.count("list", "events") <= count + 1


async def test_first_news_of_a_missing_target_is_that_its_namespace_is_missing(
    setup: Setup,
) -> None:
    watch = setup.watch(POD, "web-1", with_namespace=False)
    first = await watch.changed(watch.current)
    assert isinstance(first, Unresolved)
    assert first.reason.code is ReasonCode.TARGET_NAMESPACE_NOT_FOUND


async def test_missing_target_does_not_wait_for_a_silent_server(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_FIRST_ANSWER_S", 0.05)
    asked = asyncio.Event()
    never = asyncio.Event()

    async def hang(*_: object) -> None:
        asked.set()
        await never.wait()

    monkeypatch.setitem(evidence._READERS, ReasonCode.TARGET_NOT_FOUND, hang)
    watch = setup.watch(POD, "web-1")
    await reason(watch, 'there is no pod "web-1" in namespace shop')
    assert asked.is_set()
