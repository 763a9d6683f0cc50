from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.tui.viewmodel.name_shortening import NameShortener

EKS = [
    f"arn:aws:eks:{region}:{account}:cluster/team-{team}-{stage}"
    for region in ("eu-west-1", "us-east-1")
    for account in ("111122223333", "444455556666")
    for team in range(20)
    for stage in ("prod", "staging", "dev")
]
GKE = [
    f"gke_company-{project}_europe-west{zone}-a_cluster-{name}"
    for project in ("payments", "logistics")
    for zone in (1, 2)
    for name in ("main", "batch")
]


@pytest.mark.parametrize(
    ("names", "width"), [(EKS, 50), (EKS, 42), (GKE, 40), (GKE, 30), (GKE, 26)]
)
def test_shortened_names_differ(names: list[str], width: int) -> None:
    shortener = NameShortener(names)
    shortened = [shortener.shorten(name, width) for name in names]
    assert len(set(shortened)) == len(names)
    assert all(len(name) <= width for name in shortened)


@pytest.mark.parametrize(
    ("width", "shortened"),
    [
        (50, "arn:aws:eks:eu-west-1:111122223333:cluster/prod-a"),
        (45, "arn…eks:eu-west-1:111122223333:cluster/prod-a"),
        (40, "arn:…-west-1:111122223333:cluster/prod-a"),
        (30, "…1:111122223333:cluster/prod-a"),
        (25, "…111122223333…prod-a"),
    ],
)
def test_common_parts_are_left_out_first(width: int, shortened: str) -> None:
    names = [
        f"arn:aws:eks:eu-west-1:{account}:cluster/prod-{name}"
        for account in ("111122223333", "444455556666")
        for name in "ab"
    ]
    assert NameShortener(names).shorten(names[0], width) == shortened


def test_single_name_keeps_its_end() -> None:
    name = "arn:aws:eks:eu-west-1:111122223333:cluster/prod-a"
    assert NameShortener([name]).shorten(name, 20).endswith("prod-a")


@given(st.lists(st.text(alphabet="ab:/-_.@ü", max_size=120), max_size=6), st.integers(0, 60))
def test_any_name_is_shortened_or_returned(names: list[str], width: int) -> None:
    shortener = NameShortener(names)
    for name in names:
        shortened = shortener.shorten(name, width)
        assert shortened == name or len(shortened) <= width
