"""What keeps the cluster as its objects say: scheduler, workload controllers, clean-up.

They work on the store directly, in the API server's process: a change queues the keys it
concerns, one task works the queue off. Every reconciliation looks at the whole state of its key,
so a lost or repeated wake-up does no harm, and a restart begins by queueing everything.
"""

from tui_forward.minicluster.controllers.manager import ControllerManager

__all__ = ["ControllerManager"]
