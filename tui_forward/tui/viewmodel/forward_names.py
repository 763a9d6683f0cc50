"""Short names of forwards in sentences. Pure."""

from __future__ import annotations

from tui_forward.common.target_names import target_name
from tui_forward.model import Forward


def forward_name(forward: Forward) -> str:
    """Return the name of a forward's target."""
    return target_name(forward.spec.target)
