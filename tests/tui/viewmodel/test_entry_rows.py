from __future__ import annotations

import msgspec
import pytest

from tests.support import fleet
from tests.tui.samples import PORTS, pod
from tests.tui.viewmodel.test_entry_list import ALL, owned, seen, workload
from tests.tui.viewmodel.test_rows import forward, texts
from tui_forward.common.access_options import parse_access_options
from tui_forward.model import (
    CatalogScope,
    DeclaredPort,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    Pod,
    PodRef,
    PodShare,
    PodShareState,
    Service,
    Target,
    TargetKind,
)
from tui_forward.tui.viewmodel.cluster_state import ClusterState, pod_key
from tui_forward.tui.viewmodel.entries import Entry, EntryKind, service_entry, workload_entry
from tui_forward.tui.viewmodel.entry_list import EntryList
from tui_forward.tui.viewmodel.entry_rows import entry_row, port_row, predicted_local_port
from tui_forward.tui.viewmodel.entry_targets import ForwardsByEntry, forward_on, target_of
from tui_forward.tui.viewmodel.filter_query import parse_query
from tui_forward.tui.viewmodel.rows import Cell


def pod_entry(pod: Pod) -> Entry:
    """Return the entry of a pod."""
    return Entry(pod_key(pod), TargetKind.POD, pod)


def test_pod_row_has_the_columns_of_kubectl() -> None:
    entry = pod_entry(msgspec.structs.replace(pod("web-1"), node="node-a"))
    row = entry_row(entry, [forward()], 7201.0)
    assert texts(row) == ["●", "web-1", "1/1", "Running", "0", "2h", "node-a"]
    row = entry_row(entry, [], 7201.0, owner="web", favorite=True, marked=True)
    assert (row.marked, texts(row)[:2]) == (True, ["", "    ★ …1"])
    assert texts(entry_row(entry, [], 1.0, with_namespace=True))[1] == "shop/web-1"
    assert texts(entry_row(entry, [], 1.0, owner="db", with_namespace=True))[1] == "    web-1"


def test_mark_is_that_of_the_worst_forward() -> None:
    entry = pod_entry(pod("web-1"))
    blocked = forward(ForwardState.BLOCKED)
    assert texts(entry_row(entry, [forward(), blocked], 1.0))[0] == "■"


def test_workload_and_service_rows() -> None:
    picture = ClusterState(ALL)
    picture.apply(seen(workload("web", ready=0), owned("web-1", "web", restarts=2), complete=True))
    entry = workload_entry(picture.workloads["deploy/shop/web"], picture)
    assert texts(entry_row(entry, [], 1.0, fold="▾"))[:5] == [
        "", "▾ deploy/web", "0/1", "not ready", "2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("restarts", "ago", "style"),
    [
        (0, None, "dim"),
        (3, 60.0, "warn"),
        (3, 3599.0, "warn"),
        (3, 3601.0, "dim"),
        (3, None, "dim"),
    ],
)
def test_restarts_are_amber_for_an_hour(restarts: int, ago: float | None, style: str) -> None:
    now = 100_000.0
    one = msgspec.structs.replace(
        owned("web-1", "web", restarts=restarts),
        restarted_at=0.0 if ago is None else now - ago,
    )
    assert entry_row(pod_entry(one), [], now).cells[4] == Cell(str(restarts), style)
    picture = ClusterState(ALL)
    picture.apply(seen(workload("web"), owned("web-2", "web"), one, complete=True))
    entry = workload_entry(picture.workloads["deploy/shop/web"], picture)
    assert entry_row(entry, [], now).cells[4] == Cell(str(restarts), style)


def test_service_row() -> None:
    ports = (DeclaredPort(number=80), PORTS[2])
    entry = service_entry(
        Service(namespace="shop", name="web", cluster_ip="10.0.0.7", selector="a=b", ports=ports)
    )
    assert texts(entry_row(entry, [], 1.0, endpoints=3)) == [
        "", "svc/web", "3", "80, 53/UDP", "ClusterIP", "10.0.0.7", "",
    ]  # fmt: skip
    assert entry_row(entry, [], 1.0, endpoints=0).cells[2] == Cell("none", "warn")
    assert entry_row(entry, [], 1.0).cells[2] == Cell("-", "dim")  # not known yet


@pytest.mark.parametrize("external_name", ["", "db.example.com"])
def test_service_without_a_selector_has_no_number_of_endpoints(external_name: str) -> None:
    """Its endpoints are not pods that a selector finds; no count is not `none`."""
    service = Service(namespace="shop", name="db", cluster_ip="10.0.0.7", ports=PORTS[:1])
    service = msgspec.structs.replace(service, external_name=external_name)
    for endpoints in (None, 0, 3):
        row = entry_row(service_entry(service), [], 1.0, endpoints=endpoints)
        assert row.cells[2] == Cell("-", "dim")


@pytest.mark.parametrize("kind", EntryKind)
def test_lengths_are_those_of_the_cells(kind: EntryKind) -> None:
    cluster = ClusterState(fleet.SCOPE)
    cluster.apply(fleet.catalog())
    entries = EntryList(cluster)
    entries.kind = kind
    entries.update()
    rows = [
        entry_row(
            entry, [], fleet.NOW, owner=entries.owner_name(key), fold=entries.fold_symbol(key)
        )
        for key in entries.keys
        if (entry := entries.entry(key)) is not None
    ]
    for position, longest in enumerate(entries.longest):
        if longest:
            assert max(len(row.cells[position].text) for row in rows) == longest


def test_matches_are_highlighted() -> None:
    entry = pod_entry(pod("web-1"))
    spans = parse_query("b1").spans(entry.name)
    cell = entry_row(entry, [], 1.0, favorite=True, spans=spans).cells[1]
    assert [cell.text[start:end] for start, end in cell.spans] == ["b", "1"]
    below = entry_row(entry, [], 1.0, owner="web", spans=spans).cells[1]
    assert [below.text[start:end] for start, end in below.spans] == ["1"]
    assert entry_row(entry, [], 1.0, spans=()).cells[1].spans == ()


@pytest.mark.parametrize(
    ("status", "phase", "style"),
    [
        ("CrashLoopBackOff", "Running", "bad"), ("ErrImagePull", "Pending", "bad"),
        ("Evicted", "Failed", "bad"), ("ContainerCreating", "Pending", "warn"),
        ("Completed", "Succeeded", "dim"),
    ],
)  # fmt: skip
def test_failures_differ_from_pending_states(status: str, phase: str, style: str) -> None:
    failing = msgspec.structs.replace(pod("a"), status=status, phase=phase, ready=False)
    assert entry_row(pod_entry(failing), [], 1.0).cells[3] == Cell(status, style)


def test_port_rows() -> None:
    assert texts(port_row(0, PORTS[0], None, 8081)) == ["1", "○", "http", "8080", ":8081"]
    assert texts(port_row(0, PORTS[0], None, 8081, aligned=True))[-1] == "  :8081"
    assert texts(port_row(0, PORTS[0], forward())) == ["1", "●", "http", "8080", "→ :8080"]
    other = forward(listening=(LocalAddress("127.0.0.2", 8080),))
    assert texts(port_row(0, PORTS[0], other))[-1] == "→ 127.0.0.2:8080"
    starting = forward(ForwardState.STARTING, listening=())
    assert texts(port_row(9, PORTS[0], starting)) == [" ", "◌", "http", "8080", "→ …"]
    paused = forward(ForwardState.STOPPED, paused=True)
    assert texts(port_row(0, PORTS[0], paused))[1] == "‖"
    assert texts(port_row(2, PORTS[2], None)) == ["–", "", "dns", "53", "UDP"]


def test_predicted_local_port() -> None:
    assert predicted_local_port(8080, ()) == 8080
    assert predicted_local_port(8080, {8080, 8081}) == 8082
    assert predicted_local_port(80, ()) == 8080
    assert predicted_local_port(65535, {65535}) == 0


def test_forward_of_a_port_moves_with_its_pod() -> None:
    web1, web2 = pod_entry(pod("web-1")), pod_entry(pod("web-2"))
    on = forward()
    assert forward_on([on], ALL, web1, PORTS[0]) is on
    assert forward_on([on], ALL, web1, PORTS[1]) is None
    assert forward_on([on], CatalogScope("there"), web1, PORTS[0]) is None
    moved = forward(pod=PodRef(namespace="shop", name="web-2", uid="u2"))
    assert forward_on([moved], ALL, web2, PORTS[0]) is moved
    assert forward_on([moved], ALL, web1, PORTS[0]) is None
    shares = tuple(
        PodShare(pod=PodRef(namespace="shop", name=name, uid=name), state=state)
        for name, state in (("web-1", PodShareState.READY), ("web-2", PodShareState.LEAVING))
    )
    spread = forward(pods=shares)
    assert forward_on([spread], ALL, web1, PORTS[0]) is spread
    assert forward_on([spread], ALL, web2, PORTS[0]) is None
    unresolved = forward(ForwardState.WAITING, pod=None, remote_port=None)
    assert forward_on([unresolved], ALL, web1, PORTS[0]) is unresolved


def test_forward_by_name_stays_on_its_port_if_the_name_repeats() -> None:
    ports = tuple(
        DeclaredPort(number=number, name="http", container=container)
        for number, container in ((8080, "web"), (8081, "new"))
    )
    picture = ClusterState(ALL)
    picture.apply(seen(workload("web"), owned("web-1", "web", ports=ports), complete=True))
    entry = workload_entry(picture.workloads["deploy/shop/web"], picture)
    spec = ForwardSpec(target=target_of(ALL, entry, ports[0]))
    assert spec.target.port == "8080"  # the name alone would not say which
    by_name = msgspec.structs.replace(
        spec, target=msgspec.structs.replace(spec.target, port="http")
    )
    on = msgspec.structs.replace(forward(), spec=by_name, remote_port=8081)
    assert forward_on([on], ALL, entry, ports[0]) is None
    assert forward_on([on], ALL, entry, ports[1]) is on


def test_forward_of_a_workload_marks_its_pod() -> None:
    picture = ClusterState(ALL)
    picture.apply(seen(workload("web"), owned("web-1", "web"), complete=True))
    entry = workload_entry(picture.workloads["deploy/shop/web"], picture)
    target = target_of(ALL, entry, entry.ports[0])
    assert target == Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name="web", port="http"
    )
    on = msgspec.structs.replace(forward(), spec=ForwardSpec(target=target))
    assert forward_on([on], ALL, entry, entry.ports[0]) is on
    assert forward_on([on], ALL, entry, entry.ports[1]) is None
    assert forward_on([forward()], ALL, entry, entry.ports[0]) is None
    marks = ForwardsByEntry([on], picture)
    assert marks.of("deploy/shop/web") == marks.of("pod/shop/web-1") == (on,)
    assert marks.of("pod/shop/other") == ()
    assert ForwardsByEntry([on], ClusterState(CatalogScope("there"))).of("deploy/shop/web") == ()
    lone = ForwardsByEntry([forward()], picture)
    assert lone.of("deploy/shop/web") == lone.of("pod/shop/web-1")


def test_forward_with_other_options_is_another_one() -> None:
    given = parse_access_options({"as": ["bob"], "token": ["t0ken-given"]})
    as_bob = CatalogScope("here", "shop", given)
    entry = pod_entry(pod("web-1"))
    target = target_of(as_bob, entry, PORTS[0])
    assert target.options == given  # with the token, for the engine
    listed = msgspec.structs.replace(target, options=given.without_secrets())
    on = msgspec.structs.replace(forward(), spec=ForwardSpec(target=listed))
    assert forward_on([on], as_bob, entry, PORTS[0]) is on
    assert forward_on([on], ALL, entry, PORTS[0]) is None
    again = parse_access_options({"as": ["bob"], "token": ["t0ken-other"]})
    assert forward_on([on], CatalogScope("here", "shop", again), entry, PORTS[0]) is None
    marks = ForwardsByEntry([on], ClusterState(as_bob))
    assert marks.of("pod/shop/web-1") == (on,)
    assert ForwardsByEntry([on], ClusterState(ALL)).of("pod/shop/web-1") == ()
