"""The controllers of the embedded cluster: scheduler, workload controllers, garbage collector.

They run in the API server's process and work on the store directly: a change queues the keys of
the objects it affects, and one task processes the queue. Each reconciliation compares the whole
state of its object with the specification, so lost or repeated wake-ups are harmless, and a
restart begins by queueing every object.
"""
