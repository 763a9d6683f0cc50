"""Which environment each forward uses, and with it which clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tui_forward.model import Caller
from tui_forward.session.backend import CallerBackend, ClusterBackend
from tui_forward.session.callers import (
    CURRENT_CALLER,
    describe_caller,
    differing_names,
    make_caller,
)
from tui_forward.session.lazy_engine import LazyEngine


class ForwardCallers:
    """The clusters of each forward in the environment of the front end that it belongs to."""

    def __init__(self, backend: ClusterBackend, engine: LazyEngine) -> None:
        self._backend: Final = backend
        self._engine: Final = engine
        # Of forwards in another environment than that of this process.
        self._callers: dict[str, tuple[Caller, CallerBackend]] = {}
        # Of forwards that are started next, by their ids in the engine before.
        self._handed_over: dict[str, Caller] = {}

    def __bool__(self) -> bool:
        """Return whether a forward uses another environment than that of this process."""
        return bool(self._callers)

    def viewer(self) -> CallerBackend:
        """Return the clusters in the environment of the front end whose request is answered."""
        return self.backend_for(CURRENT_CALLER.get())

    def caller_of_start(self, forward_id: str) -> Caller | None:
        """Return who starts a forward; `forward_id` is its id in the engine before."""
        return CURRENT_CALLER.get() or self._handed_over.pop(forward_id, None)

    def backend_for(self, caller: Caller | None) -> CallerBackend:
        """Return the clusters in the environment of a front end; None is this process."""
        if caller is None:
            return self._backend
        keep = [backend for _, backend in self._callers.values()]
        return self._backend.for_caller(caller, keep=keep)

    def backend_of(self, forward_id: str) -> CallerBackend:
        """Return the clusters that a forward uses."""
        found = self._callers.get(forward_id)
        return self._backend if found is None else found[1]

    def set(self, forward_id: str, caller: Caller | None, backend: CallerBackend) -> None:
        """Record which clusters a forward uses."""
        if caller is None or backend is self._backend:
            self._callers.pop(forward_id, None)
        else:
            self._callers[forward_id] = caller, backend

    def remove(self, forward_id: str) -> None:
        """Forget a forward that was stopped. Idempotent."""
        self._callers.pop(forward_id, None)

    async def use_environment(self, forward_id: str) -> None:
        """Let a forward use the environment of the front end that asks for it now."""
        caller = CURRENT_CALLER.get()
        if caller is None:
            return  # that of a program without a terminal says nothing about credentials
        backend = self.backend_for(caller)
        if backend is not self.backend_of(forward_id):
            await self._engine.get().use_clusters(forward_id, backend)
            self.set(forward_id, caller, backend)

    def environment_of(self, forward_id: str, viewer: CallerBackend) -> str:
        """See `Forward.environment`."""
        backend = self.backend_of(forward_id)
        if backend is viewer:
            return ""
        found = self._callers.get(forward_id)
        place = describe_caller(found[0]) if found is not None else "the engine"
        names = differing_names(backend.environ, viewer.environ)
        return f"{place} ({names} {'differ' if ',' in names else 'differs'})"

    def inherit(self, callers: Mapping[str, Caller]) -> None:
        """Use the environments of another engine for its forwards, which are started next."""
        self._handed_over.update(callers)

    def export(self, ids: Iterable[str]) -> dict[str, Caller]:
        """Return the environment of each forward and proxy, for the next engine."""
        own = make_caller(self._backend.environ)
        found = {}
        for one in ids:
            caller = self._callers[one][0] if one in self._callers else own
            if caller is not None:
                found[one] = caller
        return found
