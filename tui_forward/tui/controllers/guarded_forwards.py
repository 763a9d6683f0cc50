"""Starts of forwards that ask first in protected contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tui_forward.model import CatalogScope, Forward, ForwardSpec
from tui_forward.tui.controllers.forward_controller import ForwardController
from tui_forward.tui.controllers.protection_controller import Guard
from tui_forward.tui.messages import ForwardPortsRequested
from tui_forward.tui.viewmodel.entry_targets import forward_on, target_of


class GuardedForwardController(ForwardController):
    """Every way by which the user starts forwards here passes `guard`."""

    def __init__(self, guard: Guard, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    def forward_ports(self, request: ForwardPortsRequested, scope: CatalogScope) -> None:
        """See `ForwardController.forward_ports`."""
        forwards = self._sampler.snapshot.forwards
        new = [one for one in request.ports if forward_on(forwards, scope, *one) is None]
        targets = [target_of(scope, entry, port) for entry, port in new]
        self._guard(targets, lambda: ForwardController.forward_ports(self, request, scope))

    def start(self, specs: Sequence[ForwardSpec]) -> None:
        """See `ForwardController.start`."""
        targets = [spec.target for spec in specs]
        self._guard(targets, lambda: ForwardController.start(self, specs))

    def replace(self, forward: Forward, spec: ForwardSpec) -> None:
        """See `ForwardController.replace`."""
        self._guard([spec.target], lambda: ForwardController.replace(self, forward, spec))

    def undo(self) -> None:
        """See `ForwardController.undo`."""
        specs = self._undo[-1].specs if self._undo else ()
        self._guard([spec.target for spec in specs], lambda: ForwardController.undo(self))
