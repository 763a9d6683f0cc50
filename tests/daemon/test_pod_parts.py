from __future__ import annotations

import msgspec
import pytest

from tui_forward.daemon.pod_parts import PodDecoder, encode_pods
from tui_forward.errors import ProtocolError
from tui_forward.model import DeclaredPort, OwnerRef, Pod, PodSummary


def pod(number: int, **fields: object) -> Pod:
    name = f"web-{number}"
    return msgspec.structs.replace(
        Pod(
            namespace="shop", name=name, uid=f"uid-{number}", phase="Running", status="Running",
            ready=True, containers_ready=1, containers_total=2, restarts=number,
            restarted_at=number / 4, created_at=1000.0 + number, deleting=bool(number % 2),
            node=f"node-{number % 3}", labels={"app": "web"}, owner=OwnerRef("Deployment", "web"),
            ports=(DeclaredPort(number=8080, name="http", container="main"),),
            container_ids=("containerd://1",),
        ),
        **fields,
    )  # fmt: skip


def transferred(pods: tuple[PodSummary, ...]) -> list[PodSummary]:
    decoder = PodDecoder()
    for part in encode_pods(pods):
        decoder.add(part)
    return decoder.pods


def test_pods_arrive_as_summaries_in_order() -> None:
    pods = (*map(pod, range(3)), pod(3, labels={}, owner=None, ports=(), node=""))
    fields = PodSummary.__struct_fields__
    expected = [PodSummary(**{name: getattr(one, name) for name in fields}) for one in pods]
    assert transferred(pods) == expected
    assert transferred(()) == []


def test_parts_are_small_whatever_the_number_of_pods() -> None:
    parts = list(encode_pods(tuple(map(pod, range(1201)))))
    assert len(parts) == 3
    assert max(map(len, parts)) < 100_000


def test_what_is_equal_is_one_object_also_in_later_answers() -> None:
    first, second = transferred((pod(1), pod(4)))
    (later,) = transferred((pod(7),))
    for other in (second, later):
        for name in ("namespace", "phase", "status", "node", "labels", "owner", "ports"):
            assert getattr(first, name) is getattr(other, name), name
    together = transferred((pod(1), pod(2, created_at=1001.0)))
    assert together[0].created_at is together[1].created_at
    (elsewhere,) = transferred((pod(1, namespace="bank", labels={"app": "api"}),))
    assert elsewhere.ports is first.ports
    assert elsewhere.labels == {"app": "api"}


def test_values_larger_than_kubernetes_allows_are_not_kept() -> None:
    large = pod(1, status="x" * 300, labels={"note": "x" * 10_000})
    first, second = (transferred((large,))[0] for _ in range(2))
    assert first == second
    assert first.status is not second.status
    assert first.labels is not second.labels


@pytest.mark.parametrize("part", [b"", b"\xc1", msgspec.msgpack.encode([["not", "a pod"]])])
def test_other_bytes_are_a_protocol_error(part: bytes) -> None:
    with pytest.raises(ProtocolError):
        PodDecoder().add(msgspec.Raw(part))


def test_invalid_shared_values_are_a_protocol_error() -> None:
    (part,) = encode_pods((pod(1),))
    values = msgspec.msgpack.decode(part)
    values[0][0] = "not a struct"
    with pytest.raises(ProtocolError):
        PodDecoder().add(msgspec.Raw(msgspec.msgpack.encode(values)))
