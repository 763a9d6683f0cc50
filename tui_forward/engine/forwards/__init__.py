"""One forward: its state machine, reconciler and queue of connections."""
