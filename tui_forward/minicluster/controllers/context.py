"""The state that the controllers share. It does not import any of them."""

from __future__ import annotations

import time

from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.store import Item, Store
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.controllers.events import EventRecorder
from tui_forward.minicluster.controllers.owner_index import OwnerIndex
from tui_forward.minicluster.controllers.workqueue import WorkQueue, key_of

# How long pods wait after a start for all nodes to become ready.
NODES_TIMEOUT_S = 5.0


class ControllerContext:
    """Access of the controllers to the cluster.

    Attributes:
        index: Finds objects by their owner.
        events: Records events.
    """

    def __init__(
        self, config: ApiServerConfig, store: Store, writer: ObjectWriter, queue: WorkQueue
    ) -> None:
        self.store = store
        self.writer = writer
        self.queue = queue
        self.index = OwnerIndex(store)
        self.events = EventRecorder(store, writer)
        self._replace_delay_s = config.replace_delay_s
        self._missing_nodes = set(config.nodes)
        self._nodes_deadline = time.monotonic() + NODES_TIMEOUT_S
        self._pod_lost_at: dict[str, float] = {}

    def all_nodes_started(self, ready: set[str]) -> bool:
        """Return whether all nodes have become ready once, or the wait for them is over.

        Without this wait the first node to start would get every pod.
        """
        self._missing_nodes -= ready
        if self._missing_nodes and time.monotonic() < self._nodes_deadline:
            return False
        self._missing_nodes.clear()
        return True

    def record_pod_loss(self, controller_uid: str) -> None:
        """Start the replacement delay of the workload that controls a lost pod."""
        self._pod_lost_at[controller_uid] = time.monotonic()

    def may_replace_pod(self, owner: Item) -> bool:
        """Return whether a workload may replace a missing pod now; if not, queue it for later."""
        lost_at = self._pod_lost_at.get(owner.uid)
        if lost_at is None or self._replace_delay_s <= 0:
            return True
        remaining_s = lost_at + self._replace_delay_s - time.monotonic()
        if remaining_s <= 0:
            del self._pod_lost_at[owner.uid]
            return True
        self.queue.add_after(key_of(owner), remaining_s)
        return False
