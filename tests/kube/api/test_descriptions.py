from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.kube.api.descriptions import decode_events, decode_object

POD: dict[str, Any] = {
    "metadata": {
        "name": "web-1", "creationTimestamp": "2026-11-29T12:00:00Z",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5"}], "labels": {"app": "web"},
    },
    "spec": {
        "nodeName": "node-b", "serviceAccountName": "default",
        "containers": [{"name": "web", "image": "nginx:1"}, {"name": "side", "image": "s"}],
    },
    "status": {
        "phase": "Running", "podIP": "10.0.0.5",
        "containerStatuses": [
            {"name": "web", "restartCount": 17,
             "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
             "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}},
            {"name": "side", "restartCount": 0, "state": {"running": {}}},
        ],
        "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady",
                        "message": "web", "lastTransitionTime": "2026-11-29T12:00:01Z"}],
    },
}  # fmt: skip


def test_a_pod_in_words() -> None:
    found = decode_object(json.dumps(POD).encode())
    assert found.facts == (
        ("created", "2026-11-29T12:00:00Z"),
        ("owner", "ReplicaSet/web-5"),
        ("label", "app=web"),
        ("node", "node-b"),
        ("pod IP", "10.0.0.5"),
        ("service account", "default"),
        ("phase", "Running"),
        ("container", "web · nginx:1 · CrashLoopBackOff: back-off, 17 restarts, "
                      "before: exited with code 1 (Error)"),
        ("container", "side · s · running"),
    )  # fmt: skip
    (ready,) = found.conditions
    assert (ready.type, ready.status, ready.reason, ready.message) == (
        "Ready", "False", "ContainersNotReady", "web",
    )  # fmt: skip
    assert ready.since > 1.7e9


def test_workloads_and_services_in_words() -> None:
    deployment = {
        "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 3},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}},
    }
    assert decode_object(json.dumps(deployment).encode()).facts == (
        ("replicas", "total 3, ready 2, updated 3"), ("container", "web · nginx:1"),
    )  # fmt: skip
    service = {
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.1.1.1",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"port": 53,
                      "protocol": "UDP"}],
        }
    }  # fmt: skip
    assert decode_object(json.dumps(service).encode()).facts == (
        ("type", "ClusterIP"), ("cluster IP", "10.1.1.1"), ("port", "http 80/TCP → 8080"),
        ("port", "53/UDP"),
    )  # fmt: skip


def test_many_labels_are_cut() -> None:
    labels = {f"l{n}": "x" for n in range(100)}
    facts = decode_object(json.dumps({"metadata": {"labels": labels}}).encode()).facts
    assert facts[-1] == ("label", "… 70 more")
    assert len(facts) == 31


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["metadata", "spec", "status", "labels", "containers", "name", "state", "ports",
             "conditions", "containerStatuses", "template", "terminated", "ownerReferences"]
        ),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON))
def test_an_object_of_any_form_is_described(raw: dict[str, Any]) -> None:
    decode_object(json.dumps(raw).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b"{"])
def test_what_is_no_object_is_an_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_object(body)


def test_events_are_sorted() -> None:
    events = [
        {"type": "Normal", "reason": "Pulled", "message": "m",
         "lastTimestamp": "2026-11-29T12:00:00Z"},
        {"type": "Warning", "reason": "BackOff", "message": "n", "count": 3,
         "lastTimestamp": "2026-11-29T12:05:00Z"},
        {"reason": "Old", "series": {"count": 9, "lastObservedTime": "2026-11-29T11:00:00Z"}},
    ]  # fmt: skip
    found = decode_events(json.dumps({"items": events}).encode())
    assert [(one.reason, one.count, one.type) for one in found] == [
        ("BackOff", 3, "Warning"), ("Pulled", 1, "Normal"), ("Old", 9, ""),
    ]  # fmt: skip
    assert decode_events(b"{}") == ()
