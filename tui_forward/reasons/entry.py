"""A row of the tables, and parts of templates that several tables use."""

from __future__ import annotations

from typing import Final

import msgspec

from tui_forward.model import BlockedBy, HopKind

DESCRIBE_HINT: Final = "Check its events: kubectl describe pod[ -n {namespace}] [{pod}|POD]"
LOGS: Final = "kubectl logs[ -n {namespace}] [{pod}|POD][ -c {container}]{previous_log}"
LOGS_HINT: Final = f"Check its log: {LOGS}"
# What a forward does by itself, behind a hint.
RETRIED: Final = "it is retried automatically"
STARTS_WHEN_PRESENT: Final = "the forward starts when it appears"
RESTART_HINT: Final = "Start it again, or forward to a pod that keeps running"


class Entry(msgspec.Struct, frozen=True):
    """Texts and meaning of one code.

    The texts are templates (see `rendering.py`): `{name}` is a parameter of the reason; a part in
    brackets is left out if one of its parameters is missing, or replaced by what follows its `|`.
    """

    short: str  # for a narrow column; its parameters are cut until it has `MAX_SHORT` cells
    text: str
    hint: str = ""  # an imperative sentence; empty where nothing can be done
    hop: HopKind | None = None  # where the fault is; None for what is no fault
    blocked_by: BlockedBy | None = None  # set where only a user can help
    waits_for_pod: bool = False  # a forward waits with it, also after it was ready
    automatic: str = ""  # what a forward does by itself; follows its hint, but no diagnosis

    @property
    def full_hint(self) -> str:
        """The hint with what the forward does by itself."""
        return "; ".join(part for part in (self.hint, self.automatic) if part)
