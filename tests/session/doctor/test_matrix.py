"""ARCHITECTURE.md has the table of faults, and kubectl still says these words."""

from __future__ import annotations

import pytest

from tests.kube.kubectl_peer import find_kubectl
from tests.session.doctor.faults import FAULTS
from tests.session.doctor.kubectl_words import load_words, words_for
from tests.session.doctor.matrix import split_document, table
from tui_forward.model import DoctorHop

# A few of them, of different hops: kubectl takes a second of processor time for some.
ASKED = (
    "the plugin fails", "nothing listens at the address", "the cluster was created again",
    "the kubelet cannot be reached",
)  # fmt: skip


def test_document_has_the_table() -> None:
    assert split_document()[1].strip() == table().strip(), (
        "run python -m tests.session.doctor.matrix"
    )


def test_every_hop_has_a_fault() -> None:
    assert {fault.hop for fault in FAULTS} == set(DoctorHop)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.kubectl
@pytest.mark.skipif(find_kubectl() is None, reason="needs kubectl")
@pytest.mark.parametrize("name", ASKED)
async def test_words_of_kubectl(name: str) -> None:
    (fault,) = [one for one in FAULTS if one.name == name]
    assert await words_for(fault, expects_text=True) == load_words()[name]
