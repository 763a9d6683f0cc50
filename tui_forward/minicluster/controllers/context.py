"""State that all controllers share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from tui_forward.minicluster.apiserver.create_update_delete import ObjectWriter
from tui_forward.minicluster.apiserver.store import Item, Store
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.controllers.events import EventRecorder
from tui_forward.minicluster.controllers.owner_index import OwnerIndex

# Kind of work, and namespace and name of the object to reconcile.
Key: TypeAlias = tuple[str, str, str]

# Time that pods wait after a start for all nodes to register.
NODES_TIMEOUT_S = 5.0


class ControllerContext:
    """What every controller works with.

    Attributes:
        index: Finds objects by their owner.
        events: Records events.
        replace_delay_s: How long a pod that ended is missed before it is replaced.
    """

    def __init__(
        self,
        store: Store,
        writer: ObjectWriter,
        index: OwnerIndex,
        requeue: Callable[[Key, float], None],
        config: ApiServerConfig,
    ) -> None:
        self.store = store
        self.writer = writer
        self.index = index
        self.events = EventRecorder(store, writer)
        self.replace_delay_s = config.replace_delay_s
        self._awaited = set(config.nodes)
        self._patience = time.monotonic() + NODES_TIMEOUT_S
        self.lost_at: dict[str, float] = {}
        self.requeue = requeue

    def nodes_there(self, ready: set[str]) -> bool:
        """Whether all nodes have come up; at a start the first must not get every pod."""
        self._awaited -= ready
        if self._awaited and time.monotonic() < self._patience:
            return False
        self._awaited.clear()
        return True

    def may_replace(self, owner: Item, key: Key) -> bool:
        """Whether a missing pod may be replaced now; if not, `key` is queued for when it may."""
        lost = self.lost_at.get(owner.uid)
        if lost is None or self.replace_delay_s <= 0:
            return True
        left = lost + self.replace_delay_s - time.monotonic()
        if left <= 0:
            del self.lost_at[owner.uid]
            return True
        self.requeue(key, left)
        return False
