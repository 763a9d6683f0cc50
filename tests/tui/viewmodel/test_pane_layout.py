from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.tui.viewmodel.pane_layout import (
    Box,
    Content,
    LayoutKind,
    Pane,
    PaneLayout,
    arrange_panes,
    layout_kind,
    resized,
)

# 14 forwards of which 4 have a problem, 16 workloads, as in the scene of the pictures.
FLEET = Content(cluster=16, ports=4, forwards=14, problems=4, connections=2, has_forwards=True)
SIZES = [
    (80, 24), (100, 30), (120, 36), (160, 45), (200, 60), (79, 40), (120, 23), (20, 6), (1, 1),
    (169, 80), (170, 40), (170, 39), (81, 25), (119, 29), (240, 50), (171, 49), (97, 31),
]  # fmt: skip

sizes = st.one_of(st.sampled_from(SIZES), st.tuples(st.integers(1, 300), st.integers(1, 120)))
lines = st.integers(1, 200)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    has_forwards = draw(st.booleans())
    forwards = draw(st.integers(1, 60))
    problems = draw(st.integers(0, forwards)) if has_forwards else 0
    return Content(draw(lines), draw(lines), forwards, problems, draw(lines), has_forwards)


def heights(layout: PaneLayout) -> dict[str, int]:
    return {pane.value: box.height for pane, box in layout.boxes.items()}


def overlaps(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width and other.x < one.x + one.width
        and one.y < other.y + other.height and other.y < one.y + one.height
    )  # fmt: skip


@given(
    sizes, contents(), st.sampled_from(Pane), st.booleans(),
    st.dictionaries(st.sampled_from(Pane), st.integers(-5, 150)),
)  # fmt: skip
def test_boxes_cover_the_body_without_overlap(
    size: tuple[int, int], content: Content, focus: Pane, is_zoomed: bool, fixed: dict[Pane, int]
) -> None:
    width, height = size
    layout = arrange_panes(width, height, content, focus, is_zoomed=is_zoomed, heights=fixed)
    boxes = [*layout.boxes.values(), *([layout.strip] if layout.strip is not None else [])]
    body = max(1, height - 3)
    line = 0 if layout.divider is None else body  # between two columns of panes
    assert sum(box.width * box.height for box in boxes) == width * body - line
    assert layout.divider is None or not any(
        box.x <= layout.divider < box.x + box.width for box in boxes
    )
    for number, box in enumerate(boxes):
        assert box.width >= 1
        assert box.height >= 1
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= width
        assert box.y + box.height <= body
        assert not any(overlaps(box, other) for other in boxes[number + 1 :])
    assert focus in layout.boxes
    assert (len(layout.boxes) == 1) is (is_zoomed or layout_kind(*size) is LayoutKind.SINGLE)


@given(sizes, contents(), st.sampled_from(Pane))
def test_minima_hold_and_no_pane_is_higher_than_its_content_while_another_lacks_lines(
    size: tuple[int, int], content: Content, focus: Pane
) -> None:
    layout = arrange_panes(*size, content, focus)
    if layout.kind is LayoutKind.SINGLE:
        return
    shown = {pane: box.height for pane, box in layout.boxes.items()}
    low = layout.kind is LayoutKind.LOW
    assert shown[Pane.CLUSTER] >= (3 if low else 7)
    if content.has_forwards:
        second_lines = content.problems if layout.has_second_lines else 0
        natural = content.forwards + 2 + second_lines
        assert shown[Pane.FORWARDS] >= min(6, natural)
        assert shown[Pane.CONNECTIONS] >= (1 if low else 4)
        assert shown[Pane.FORWARDS] <= max(natural, 6)
        if not low:  # whatever has the focus
            assert shown[Pane.FORWARDS] >= min(natural, 14, int((size[1] - 3) * 0.6))
    else:
        assert shown[Pane.FORWARDS] == content.forwards + 1 or content.forwards > 5


@given(contents(), st.sampled_from(SIZES), st.integers(0, 6))
def test_heights_do_not_depend_on_the_number_of_connections_while_these_are_few(
    content: Content, size: tuple[int, int], connections: int
) -> None:
    if layout_kind(*size) is LayoutKind.LOW or connections > 2:
        return
    few = Content(content.cluster, content.ports, content.forwards, content.problems, 1, True)
    more = Content(
        content.cluster, content.ports, content.forwards, content.problems,
        max(1, connections), True,
    )  # fmt: skip
    assert arrange_panes(*size, few, Pane.CLUSTER) == arrange_panes(*size, more, Pane.CLUSTER)


@pytest.mark.parametrize(
    ("size", "focus", "expected"),
    [
        ((80, 24), Pane.FORWARDS, {"cluster": 3, "ports": 3, "forwards": 16, "connections": 1}),
        ((80, 24), Pane.CLUSTER, {"cluster": 13, "ports": 13, "forwards": 6, "connections": 1}),
        ((120, 36), Pane.CLUSTER, {"cluster": 11, "ports": 11, "forwards": 16, "connections": 4}),
        ((160, 45), Pane.CLUSTER, {"cluster": 16, "ports": 16, "forwards": 20, "connections": 4}),
        ((200, 60), Pane.CLUSTER, {"cluster": 51, "ports": 6, "forwards": 20, "connections": 25}),
    ],
)
def test_fleet_has_the_heights_of_the_pictures(
    size: tuple[int, int], focus: Pane, expected: dict[str, int]
) -> None:
    assert heights(arrange_panes(*size, FLEET, focus)) == expected


def test_focus_leaves_the_height_of_forwards_unchanged_in_a_tall_terminal() -> None:
    found = {arrange_panes(120, 36, FLEET, focus).boxes[Pane.FORWARDS].height for focus in Pane}
    assert found == {16}


@pytest.mark.parametrize(
    ("size", "zoomed", "expected"),
    [((80, 24), False, False), ((80, 24), True, True), ((120, 36), False, False),
     ((120, 36), True, True), ((160, 45), False, True), ((200, 60), False, True)],
)  # fmt: skip
def test_second_lines_are_shown_if_everything_fits(
    size: tuple[int, int], zoomed: bool, expected: bool
) -> None:
    for focus in (Pane.CLUSTER, Pane.FORWARDS):
        layout = arrange_panes(*size, FLEET, focus, is_zoomed=zoomed)
        assert layout.has_second_lines is expected


def test_strip_is_below_the_forwards_and_stays_below_a_zoomed_pane() -> None:
    assert arrange_panes(80, 24, FLEET, Pane.FORWARDS).strip == Box(0, 19, 80, 1)
    assert arrange_panes(120, 36, FLEET, Pane.FORWARDS).strip == Box(0, 27, 120, 2)
    zoomed = arrange_panes(120, 36, FLEET, Pane.CLUSTER, is_zoomed=True)
    assert zoomed.boxes == {Pane.CLUSTER: Box(0, 0, 120, 31)}
    assert zoomed.strip == Box(0, 31, 120, 2)
    assert arrange_panes(79, 24, FLEET, Pane.FORWARDS).strip is None


def test_two_columns_and_an_inspector_in_a_large_terminal() -> None:
    layout = arrange_panes(200, 60, FLEET, Pane.FORWARDS)
    assert layout.boxes[Pane.CLUSTER].width == 72
    assert layout.boxes[Pane.FORWARDS] == Box(73, 0, 127, 20)
    assert layout.strip == Box(73, 20, 127, 12)


def test_column_titles_need_six_lines_or_all_rows() -> None:
    layout = arrange_panes(120, 36, FLEET, Pane.FORWARDS)
    assert layout.has_head(Pane.CLUSTER, 40)
    assert layout.has_head(Pane.CONNECTIONS, 2)
    assert not layout.has_head(Pane.CONNECTIONS, 3)
    assert not arrange_panes(80, 24, FLEET, Pane.FORWARDS).has_head(Pane.CLUSTER, 16)


def test_user_changes_the_height_of_a_pane() -> None:
    layout = arrange_panes(120, 36, FLEET, Pane.FORWARDS)
    fixed = resized(layout, {}, Pane.CONNECTIONS, 4)
    assert fixed == {Pane.CONNECTIONS: 8}
    after = arrange_panes(120, 36, FLEET, Pane.FORWARDS, heights=fixed)
    assert heights(after) == {"cluster": 7, "ports": 7, "forwards": 16, "connections": 8}
    fixed = resized(after, fixed, Pane.FORWARDS, -4)
    after = arrange_panes(120, 36, FLEET, Pane.FORWARDS, heights=fixed)
    assert heights(after) == {"cluster": 11, "ports": 11, "forwards": 12, "connections": 8}
    # Ports have the height of the cluster; more than there is stays within the minima.
    fixed = resized(after, fixed, Pane.PORTS, 90)
    assert set(fixed) == {Pane.CONNECTIONS, Pane.FORWARDS, Pane.CLUSTER}
    assert sum(heights(arrange_panes(120, 36, FLEET, Pane.FORWARDS, heights=fixed)).values()) > 31
    hidden = arrange_panes(60, 20, FLEET, Pane.CLUSTER)
    assert resized(hidden, {}, Pane.FORWARDS, 2) == {}


@pytest.mark.parametrize(
    ("width", "needed", "expected"),
    [(80, 1, 27), (80, 28, 28), (80, 99, 34), (120, 28, 31), (160, 28, 41), (169, 99, 43)],
)
def test_ports_are_as_wide_as_their_names_need(width: int, needed: int, expected: int) -> None:
    layout = arrange_panes(width, 36, Content(ports_width=needed), Pane.CLUSTER)
    ports, cluster = layout.boxes[Pane.PORTS], layout.boxes[Pane.CLUSTER]
    assert (ports.width, cluster.width) == (expected, width - expected)
