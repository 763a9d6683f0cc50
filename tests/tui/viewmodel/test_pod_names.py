from __future__ import annotations

import pytest

from tui_forward.model import Target, TargetKind
from tui_forward.tui.viewmodel.pod_names import short_pod, shorten_pods


def named(kind: TargetKind, name: str) -> Target:
    return Target(context="c", namespace="n", kind=kind, name=name, port="80")


@pytest.mark.parametrize(
    ("kind", "name", "pod", "shown"),
    [
        (TargetKind.DEPLOYMENT, "web", "web-5d6-x2x9k", "…5d6-x2x9k"),
        (TargetKind.STATEFULSET, "web", "web-0", "…0"),
        (TargetKind.SERVICE, "web", "api-0", "api-0"),
        (TargetKind.POD, "web", "web-0", "web-0"), (TargetKind.DEPLOYMENT, "", "web-0", "web-0"),
        (TargetKind.DEPLOYMENT, "web", "", ""), (TargetKind.DEPLOYMENT, "web", "web-", "web-"),
    ],
)  # fmt: skip
def test_pod_of_a_workload_has_the_end_of_its_name(
    kind: TargetKind, name: str, pod: str, shown: str
) -> None:
    assert short_pod(pod, named(kind, name)) == shown


def test_texts_name_pods_of_a_workload_by_their_ends() -> None:
    web = named(TargetKind.DEPLOYMENT, "web")
    text = "pod web-5d6-x2x9k was replaced by web-7f9-hx2lp:80, not my-web-1-abc or webs-1-2"
    assert shorten_pods(text, web) == (
        "pod …x2x9k was replaced by …hx2lp:80, not my-web-1-abc or webs-1-2"
    )
    assert shorten_pods("container web exits", web) == "container web exits"
