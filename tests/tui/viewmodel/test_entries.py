from __future__ import annotations

import msgspec
import pytest

from tests.tui.samples import pod
from tui_forward.model import DeclaredPort, OwnerRef, Service, TargetKind, Workload
from tui_forward.tui.viewmodel.entries import Entry

PORTS = (DeclaredPort(number=8080, name="http"),)
POD = msgspec.structs.replace(
    pod("web-1"), status="CrashLoopBackOff", node="node-a", ports=PORTS,
    owner=OwnerRef(kind="Deployment", name="front"),
)  # fmt: skip
ENTRIES = {
    "pod": Entry("pod/shop/web-1", TargetKind.POD, POD),
    "deploy": Entry(
        "deploy/shop/web", TargetKind.DEPLOYMENT,
        Workload(namespace="shop", name="web", kind=TargetKind.DEPLOYMENT, replicas=2, ready=1),
        (POD,),
    ),
    "svc": Entry(
        "svc/shop/web", TargetKind.SERVICE,
        Service(namespace="shop", name="web", type="ClusterIP", ports=PORTS),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("pod", "shop sho crashloop node-a front http 808 po web-1 shop/web-1 pod/web p/w"),
        ("deploy", "shop not http 8080 deploy dep web shop/web deploy/web y/w"),
        ("svc", "shop clusterip http 8080 svc web shop/web svc/web"),
    ],
)
def test_texts_that_a_word_can_match(kind: str, texts: str) -> None:
    assert [text for text in texts.split() if not ENTRIES[kind].mentions(text)] == []


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("pod", "data 80800 shop/front pod/front deploy //"),
        ("deploy", "node-a crashloop front pod"),
        ("svc", "pod/web ready node-a 443"),
    ],
)
def test_other_texts(kind: str, texts: str) -> None:
    assert [text for text in texts.split() if ENTRIES[kind].mentions(text)] == []
