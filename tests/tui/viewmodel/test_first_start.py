"""Choices of a user without a usable context."""

from __future__ import annotations

from tui_forward.model import Context
from tui_forward.settings.protected_contexts import ProtectedContexts
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.first_start import StartKind, StartOption, start_options


def options(count: int, *, broken: int = 0, demo: bool = True) -> list[StartOption]:
    contexts = [Context(name=f"c{n}", cluster="cl", server=f"h{n}.example") for n in range(count)]
    contexts += [Context(name=f"x{n}", cluster="", problem="no cluster") for n in range(broken)]
    naming = ContextNaming(ProtectedContexts(["c1"], contexts))
    return start_options(contexts, naming, offers_demo=demo)


def test_usable_contexts_then_the_demo() -> None:
    assert [(one.text, one.detail) for one in options(2)] == [
        ("Use context c0", "h0.example"), ("Use context c1!", "protected"),
        ("Try the demo cluster", "needs no Kubernetes"), ("Run doctor", "tests each step"),
    ]  # fmt: skip
    assert [one.kind for one in options(1, demo=False)] == [
        StartKind.CONTEXT, StartKind.DOCTOR
    ]  # fmt: skip


def test_without_contexts_the_files_can_be_read_again() -> None:
    again, demo, doctor = StartKind.READ_AGAIN, StartKind.DEMO, StartKind.DOCTOR
    assert [one.kind for one in options(0)] == [again, demo, doctor]
    assert [one.kind for one in options(0, demo=False)] == [again, doctor]


def test_every_choice_has_a_digit() -> None:
    many = options(40, broken=2)
    assert len(many) <= 9
    assert [one.kind for one in many[-3:]] == [
        StartKind.ALL_CONTEXTS, StartKind.DEMO, StartKind.DOCTOR
    ]  # fmt: skip
    assert many[-3].detail == "42, also those that cannot be used"
    assert options(40)[-3].detail == "40"


def test_broken_contexts_are_in_the_list_of_all() -> None:
    found = options(1, broken=1)
    assert [one.kind for one in found] == [
        StartKind.CONTEXT, StartKind.ALL_CONTEXTS, StartKind.DEMO, StartKind.DOCTOR,
    ]  # fmt: skip
