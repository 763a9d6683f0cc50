from __future__ import annotations

from tui_forward.model import Description, ObjectCondition, ObjectEvent
from tui_forward.tui.viewmodel.description_lines import description_lines
from tui_forward.tui.viewmodel.log_tail import LogLevel

NOW = 1e9


def test_a_description_has_facts_conditions_and_events() -> None:
    description = Description(
        kind="Pod", namespace="shop", name="web-1",
        facts=(("node", "node-b"), ("container", "web · nginx\x1b[31m")),
        conditions=(
            ObjectCondition(type="Ready", status="False", reason="No", message="probe", since=NOW),
            ObjectCondition(type="DiskPressure", status="False"),
        ),
        events=(
            ObjectEvent(type="Warning", reason="Unhealthy", message="503", count=7, at=NOW - 65),
            ObjectEvent(type="Normal", reason="Pulled", message="ok"),
        ),
    )  # fmt: skip
    lines = description_lines(description, NOW)
    assert [line.text for line in lines] == [
        "Pod web-1, namespace shop",
        "  node             node-b",
        "  container        web · nginx [31m",
        "",
        "Conditions",
        "  ■ Ready False  0s ago  No: probe",
        "  ● DiskPressure False",
        "",
        "Events",
        "    1m ago  Unhealthy (7 times): 503",
        "            Pulled: ok",
    ]
    assert [line.level for line in lines][5] is LogLevel.ERROR
    assert [line.level for line in lines][9] is LogLevel.WARNING


def test_what_is_not_known_is_said() -> None:
    forbidden = Description(
        kind="Service", namespace="a", name="b", error="not allowed to get services",
        events_error="not allowed to list events in namespace a",
    )  # fmt: skip
    texts = [line.text for line in description_lines(forbidden, NOW)]
    assert texts[1] == "not allowed to get services"
    assert texts[-1] == "  not allowed to list events in namespace a"
    empty = description_lines(Description(kind="Service", namespace="a", name="b"), NOW)
    assert empty[-1].text.startswith("  No events.")
