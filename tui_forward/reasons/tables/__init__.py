"""Entries of all codes, a module for each area."""

from __future__ import annotations

from typing import Final

from tui_forward.model import ReasonCode
from tui_forward.reasons.entry import Entry
from tui_forward.reasons.tables import (
    api,
    connection,
    credentials,
    local,
    network,
    node,
    pod,
    proxy,
    target,
)

ENTRIES: Final[dict[ReasonCode, Entry]] = {
    **local.TABLE,
    **credentials.TABLE,
    **network.TABLE,
    **api.TABLE,
    **node.TABLE,
    **target.TABLE,
    **pod.TABLE,
    **connection.TABLE,
    **proxy.TABLE,
}
