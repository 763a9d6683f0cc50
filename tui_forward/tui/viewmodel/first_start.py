"""What a user without a usable context can do first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

import msgspec

from tui_forward.model import Context
from tui_forward.tui.viewmodel.context_names import ContextNaming, UsedContext

_MAX_CONTEXTS: Final = 6  # the keys are 1 to 9; others are in the list of all


class StartKind(Enum):
    """What an option does."""

    CONTEXT = auto()
    ALL_CONTEXTS = auto()
    READ_AGAIN = auto()
    DEMO = auto()
    DOCTOR = auto()


class StartOption(msgspec.Struct, frozen=True):
    """One line of the choices."""

    kind: StartKind
    text: str
    detail: str
    context: str = ""  # its name


def start_options(
    contexts: Sequence[Context], naming: ContextNaming, *, offers_demo: bool
) -> list[StartOption]:
    """Return the choices in order: usable contexts or another try, all, demo, doctor."""
    usable = [one for one in contexts if not one.problem]
    options = [
        StartOption(
            StartKind.CONTEXT, f"Use context {naming.name(one.name)}",
            "protected" if naming.is_protected(UsedContext(one.name))
            else one.server or f"cluster {one.cluster}",
            one.name,
        )
        for one in usable[:_MAX_CONTEXTS]
    ]  # fmt: skip
    if not contexts:
        options.append(StartOption(StartKind.READ_AGAIN, "Read the files again", "after a change"))
    if len(options) < len(contexts):
        detail = f"{len(contexts)}, also those that cannot be used"
        if len(usable) == len(contexts):
            detail = str(len(contexts))
        options.append(StartOption(StartKind.ALL_CONTEXTS, "Choose of all contexts", detail))
    if offers_demo:
        options.append(StartOption(StartKind.DEMO, "Try the demo cluster", "needs no Kubernetes"))
    options.append(StartOption(StartKind.DOCTOR, "Run doctor", "tests each step"))
    return options
