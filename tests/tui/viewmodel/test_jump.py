from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support import fleet
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.jump import (
    COMMANDS,
    MAX_OPTIONS,
    JumpOption,
    JumpSources,
    jump_options,
)


def sources() -> JumpSources:
    state = ClusterState(fleet.SCOPE)
    state.apply(fleet.catalog())
    return JumpSources(
        fleet.forwards(), state, ("staging", "prod-eu"), ("forward-dark", "forward-light")
    )


SOURCES = sources()


def found(text: str) -> list[JumpOption]:
    return jump_options(text, SOURCES)


def test_names_find_forwards_then_objects() -> None:
    options = found("postg")
    assert [one.name for one in options[:2]] == ["sts/postgres-primary:postgres"] * 2
    assert {one.place for one in options[:2]} == {"staging/data", "prod-eu/data"}
    kinds = [one.kind for one in found("billing")]
    assert kinds[0] == "forward"
    assert {"workload", "pod"} <= set(kinds)


def test_completed_names_of_objects_are_found() -> None:
    """Tab completes a name with its kind, and the list shows that."""
    for text in ("billing", "checkout", "api"):
        for option in found(text):
            if option.kind in ("workload", "service", "pod"):
                assert option.name in [one.name for one in found(option.completion)]
    assert found("svc/") != []


def test_short_context_is_completed_to_its_whole_name() -> None:
    arn = "arn:aws:eks:eu-west-1:1111:cluster/prod"
    sources = replace(
        SOURCES, contexts=[arn], shown_name=lambda name, _: "prod!" if name == arn else name
    )
    (option,) = jump_options("ctx ", sources)
    assert (option.name, option.place) == ("ctx prod!", arn)
    assert option.completion == f"ctx {arn}"
    assert jump_options(option.completion, sources) == [option]


def test_marks_of_contexts_are_shown() -> None:
    shown = replace(SOURCES, shown_name=lambda name, _: f"{name} insecure")
    (first, *_) = jump_options("postg", shown)
    assert first.place.endswith(" insecure/data")
    assert {one.place for one in jump_options("billing", shown)} == {"staging insecure/shop"}
    assert jump_options("ctx pr", shown)[0] == JumpOption(
        "command", "ctx prod-eu insecure", "", "switch context", "ctx prod-eu"
    )


def test_local_port_finds_its_forward() -> None:
    assert (found("5432")[0].mark, found("5432")[0].detail) == ("●", ":5432")
    assert found(":2525")[0].name == "svc/notification-dispatcher-smtp:smtp"


def test_commands_take_names() -> None:
    assert [one.name for one in found("ctx ")] == ["ctx staging", "ctx prod-eu"]
    assert found("ctx pr")[0].name == "ctx prod-eu"
    assert found("ns somewhere-else")[-1].name == "ns somewhere-else"
    assert found("theme li")[0].name == "theme forward-light"
    for command in COMMANDS:
        assert found(command.name)[0].name == command.name
    assert found("")[0].kind == "command"


@given(st.text(max_size=30))
def test_any_text_gives_a_bounded_list_without_duplicates(text: str) -> None:
    options = found(text)
    assert len(options) <= MAX_OPTIONS
    assert len(set(options)) == len(options)
