"""What a dashboard needs to know if it starts without a context."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class KubeconfigFile(msgspec.Struct, frozen=True):
    """A file of the kubeconfig."""

    path: str
    state: str  # what it has, or why it is of no use


class ContextChoice(msgspec.Struct, frozen=True):
    """The choice of a context, which the user has to make first."""

    reason: str  # why there is none, as a sentence without a full stop
    namespace: str | None  # the one of the command line, "" for all; None: the context's own
    source: str = ""  # where the files are named: `KUBECONFIG=a:b`
    files: tuple[KubeconfigFile, ...] = ()
    offers_demo: bool = False  # whether the embedded cluster is installed
    hint: str = ""  # what helps besides a choice
    # Returns the choice with the files as they are now; blocks.
    read_again: Callable[[], ContextChoice] | None = None
