"""Names of pods of a workload, without what they have in common. Pure."""

from __future__ import annotations

import re

from tui_forward.model import Target, TargetKind


def short_pod(pod: str, target: Target) -> str:
    """Return the name of a pod; of a pod of a workload, what follows the workload's name."""
    prefix = f"{target.name}-"
    is_owned = target.kind not in (TargetKind.POD, TargetKind.SELECTOR) and target.name
    rest = pod.removeprefix(prefix) if is_owned else pod
    return f"…{rest}" if rest and rest != pod else pod


def shorten_pods(text: str, target: Target) -> str:
    """Return a text where pods of a workload have the last part of their names: `…x2x9k`."""
    if not target.name or target.kind in (TargetKind.POD, TargetKind.SELECTOR):
        return text
    pattern = rf"(?<![\w.-]){re.escape(target.name)}-(?:[a-z0-9]+-)?([a-z0-9]+)(?![\w-])"
    return re.sub(pattern, r"…\1", text)
