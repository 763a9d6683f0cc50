from __future__ import annotations

import msgspec

from tests.tui.browse.test_listing import ALL, owned, seen, workload
from tests.tui.samples import PORTS, pod
from tests.tui.test_rows import forward, texts
from tui_forward.model import (
    ForwardSpec,
    ForwardState,
    PodRef,
    Service,
    Target,
    TargetKind,
)
from tui_forward.tui.browse.entries import pod_entry, service_entry, workload_entry
from tui_forward.tui.browse.rows import entry_row, port_row
from tui_forward.tui.browse.targets import ForwardsByEntry, forward_on, target_of
from tui_forward.tui.picture import Picture


def test_a_pod_has_kubectl_s_columns() -> None:
    entry = pod_entry(msgspec.structs.replace(pod("web-1"), node="node-a"))
    row = entry_row(entry, [forward()], 7201.0)
    assert texts(row) == ["●", "web-1", "1/1", "Running", "0", "2h", "node-a"]
    row = entry_row(entry, [], 7201.0, depth=1, favourite=True, marked=True)
    assert texts(row)[:2] == ["✓", "  ★ web-1"]
    assert texts(entry_row(entry, [], 1.0, with_namespace=True))[1] == "shop/web-1"
    assert texts(entry_row(entry, [], 1.0, depth=1, with_namespace=True))[1] == "  web-1"


def test_the_mark_is_that_of_the_forward_that_is_worst_off() -> None:
    entry = pod_entry(pod("web-1"))
    blocked = forward(ForwardState.BLOCKED)
    assert texts(entry_row(entry, [forward(), blocked], 1.0))[0] == "■"


def test_a_workload_and_a_service() -> None:
    picture = Picture(ALL)
    picture.apply(seen(workload("web", ready=0), owned("web-1", "web", restarts=2), complete=True))
    entry = workload_entry(picture.workloads["deploy/shop/web"], picture)
    assert texts(entry_row(entry, [], 1.0, fold="▾"))[:5] == [
        "", "▾ deploy/web", "0/1", "not ready", "2",
    ]  # fmt: skip
    service = service_entry(Service(namespace="shop", name="web", cluster_ip="None"))
    assert texts(entry_row(service, [], 1.0))[:5] == ["", "svc/web", "", "Headless", ""]


def test_port_rows() -> None:
    assert texts(port_row(0, PORTS[0], None)) == ["1", "○", "http", "8080", "web"]
    assert texts(port_row(0, PORTS[0], forward())) == ["1", "●", "http", "8080", "→ 8080"]
    starting = forward(ForwardState.STARTING, listening=())
    assert texts(port_row(9, PORTS[0], starting)) == [" ", "◌", "http", "8080", "→ …"]
    paused = forward(ForwardState.STOPPED, paused=True)
    assert texts(port_row(0, PORTS[0], paused))[1] == "‖"
    assert texts(port_row(2, PORTS[2], None)) == ["", "–", "dns", "53", "UDP, not forwardable"]


def test_the_forward_of_a_port_moves_with_its_pod() -> None:
    web1, web2 = pod_entry(pod("web-1")), pod_entry(pod("web-2"))
    on = forward()
    assert forward_on([on], "here", web1, PORTS[0]) is on
    assert forward_on([on], "here", web1, PORTS[1]) is None
    assert forward_on([on], "there", web1, PORTS[0]) is None
    moved = forward(pod=PodRef(namespace="shop", name="web-2", uid="u2"))
    assert forward_on([moved], "here", web2, PORTS[0]) is moved
    assert forward_on([moved], "here", web1, PORTS[0]) is None
    unresolved = forward(ForwardState.WAITING, pod=None, remote_port=None)
    assert forward_on([unresolved], "here", web1, PORTS[0]) is unresolved


def test_a_workload_s_forward_is_its_own_and_marks_its_pod_as_well() -> None:
    picture = Picture(ALL)
    picture.apply(seen(workload("web"), owned("web-1", "web"), complete=True))
    entry = workload_entry(picture.workloads["deploy/shop/web"], picture)
    target = target_of("here", entry, entry.ports[0])
    assert target == Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name="web", port="http"
    )
    on = msgspec.structs.replace(forward(), spec=ForwardSpec(target=target))
    assert forward_on([on], "here", entry, entry.ports[0]) is on
    assert forward_on([on], "here", entry, entry.ports[1]) is None
    assert forward_on([forward()], "here", entry, entry.ports[0]) is None
    marks = ForwardsByEntry([on], "here", picture)
    assert marks.of("deploy/shop/web") == marks.of("pod/shop/web-1") == (on,)
    assert marks.of("pod/shop/other") == ()
    assert ForwardsByEntry([on], "there", picture).of("deploy/shop/web") == ()
    lone = ForwardsByEntry([forward()], "here", picture)
    assert lone.of("deploy/shop/web") == lone.of("pod/shop/web-1")
