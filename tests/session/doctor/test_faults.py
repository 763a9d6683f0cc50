"""Each fault of the table is found at its hop, with its code and its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.session.doctor.diagnosis import diagnose
from tests.session.doctor.faults import FAULTS, Fault
from tui_forward.model import DoctorHop, DoctorOutcome, DoctorResult

_TIME = re.compile(r"20[2-9]\d-\d\d-\d\d \d\d:\d\d:\d\d UTC")


def normalize(text: str, folder: Path) -> str:
    """Return a text without what differs between runs."""
    text = text.replace(str(folder), "~")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"took [\d.]+ s", "took S s", text)
    text = re.sub(r"(?<=current time )\S+ is (after|before) \S+", r"T is \1 T", text)
    text = re.sub(r" on [\d.]+:53", "", text)
    return _TIME.sub(lambda found: found[0] if found[0] in KNOWN_TIMES else "TIME", text)


KNOWN_TIMES = ("2020-09-13 12:26:40 UTC", "2096-10-02 07:06:40 UTC")


def with_outcome(results: list[DoctorResult], outcome: DoctorOutcome) -> list[DoctorResult]:
    return [one for one in results if one.outcome is outcome]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
async def test_fault(fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fault.produce(tmp_path, monkeypatch) as scene:
        results = await diagnose(
            scene.config, scene.tested, environ=scene.environ, limits=scene.limits,
            transport=scene.transport, context=scene.context,
        )  # fmt: skip
    expected = DoctorOutcome.NOTE if fault.is_note else DoctorOutcome.FAULT
    found = [one for one in with_outcome(results, expected) if one.hop is fault.hop]
    assert found, results
    assert found[0].code is fault.code, found
    assert normalize(found[0].cause, tmp_path) == fault.says
    assert found[0].fix
    others = {one.hop for one in with_outcome(results, DoctorOutcome.FAULT)} - {fault.hop}
    assert not others, results
    is_behind = list(DoctorHop).index
    for one in with_outcome(results, DoctorOutcome.NOT_REACHED):
        assert one.broken is fault.hop
        assert is_behind(one.hop) > is_behind(fault.hop)
