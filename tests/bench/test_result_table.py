from __future__ import annotations

import pytest

from tests.bench.result_table import Ratio, Row, as_json, ratio_of, table

ROWS = (
    Row("upload", "MiB/s", more_is_better=True, target=1.4),
    Row("round trip", "ms", target=0.9, digits=2),
    Row("works", "yes/no"),
    Row("never measured", "ms"),
)
RATIOS = (Ratio("ours", "kubectl", is_judged=True), Ratio("ours", "other"), Ratio("ours", "absent"))
NAMES = ("ours", "kubectl", "other")
SAMPLES = {
    "upload": {"ours": [280.0, 300.0, 290.0], "kubectl": [200.0, 200.0], "other": [0.0]},
    "round trip": {"ours": [0.5], "kubectl": [0.5]},
    "works": {"ours": [1.0], "kubectl": [0.0, 0.0]},
}
FAILURES = {"other": ["failed in speed: reset"]}


def test_table_has_medians_spread_ratios_and_failures() -> None:
    text = table(ROWS, NAMES, SAMPLES, RATIOS, FAILURES)
    head, upload, trip, works, *rest = text.splitlines()
    assert head.split("  ")[-1] == "ours ÷ other"
    assert "÷ kubectl" in head
    assert "absent" not in head
    assert upload.split() == ["upload", "MiB/s", "290", "(280–300)", "200", "0", "1.45", "ok", "–"]
    assert trip.split() == ["round", "trip", "ms", "0.50", "0.50", "–", "1.00", "MISS", "–"]
    assert works.split() == ["works", "yes/no", "yes", "no", "–", "–", "–"]
    assert rest == ["", "other: failed in speed: reset"]


def test_table_without_any_figure_says_why() -> None:
    text = table(ROWS, NAMES, {}, RATIOS, {"ours": ["did not start for speed: no"]})
    assert text.endswith("\nours: did not start for speed: no\n")


def test_ratio_is_of_medians() -> None:
    assert ratio_of(SAMPLES, "upload", RATIOS[0]) == pytest.approx(1.45)
    assert ratio_of(SAMPLES, "upload", RATIOS[1]) is None  # nothing to divide by
    assert ratio_of(SAMPLES, "works", Ratio("ours", "absent")) is None


def test_json_has_all_figures() -> None:
    found = as_json(ROWS, NAMES, SAMPLES, RATIOS[:1], FAILURES)
    assert found["failures"] == FAILURES
    rows = found["rows"]
    assert isinstance(rows, list)
    assert rows[0]["figures"]["ours"] == [280.0, 300.0, 290.0]
    assert rows[0]["ratios"] == {"ours / kubectl": pytest.approx(1.45)}
    assert [row["name"] for row in rows] == ["upload", "round trip", "works"]
