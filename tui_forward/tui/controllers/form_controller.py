"""Dialogs that define forwards: the form, for new and for existing ones, and command lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.app import App

from tui_forward.common.local_addresses import find_port_user
from tui_forward.errors import UsageError
from tui_forward.model import (
    CatalogScope,
    ClusterKey,
    DeclaredPort,
    Forward,
    ForwardDefaults,
    ForwardSpec,
    PodSummary,
    TargetKind,
)
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.forward_controller import ForwardController
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.messages import ForwardFormRequested
from tui_forward.tui.screens.kept_screens import KeptScreens
from tui_forward.tui.storage.favorites import Favorites
from tui_forward.tui.viewmodel.cluster_state import ClusterState, key_of
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.entries import entry_of
from tui_forward.tui.viewmodel.entry_targets import target_of
from tui_forward.tui.viewmodel.form_notes import last_transport
from tui_forward.tui.viewmodel.rows import target_text

if TYPE_CHECKING:
    from tui_forward.profiles.importers.command_reader import ReadOptions
    from tui_forward.tui.screens.forward_form import CheckPort


class FormController:
    """Opens the dialogs and starts or replaces forwards with their results."""

    def __init__(
        self, app: App[None], sampler: Sampler, queue: CommandQueue, forwards: ForwardController,
        favorites: Favorites, defaults: Callable[[], ForwardDefaults],
        cluster_state: Callable[[], ClusterState], check_port: CheckPort,
        naming: Callable[[], ContextNaming], kept_screens: KeptScreens,
        kubeconfigs: str | None = None,
    ) -> None:  # fmt: skip
        self._naming = naming  # returns how contexts are named
        self._kept_screens = kept_screens
        self._app = app
        self._sampler = sampler
        self._queue = queue
        self._forwards = forwards
        self._favorites = favorites
        self._defaults = defaults
        self._cluster_state = cluster_state
        self._check_port = check_port
        self._kubeconfigs = kubeconfigs  # see `DashboardPaths`

    @property
    def _scope(self) -> CatalogScope:
        return self._cluster_state().scope

    def open_new(self, request: ForwardFormRequested) -> None:
        """Open the form of a new forward."""
        from tui_forward.tui.screens.forward_form import FormContent, ForwardForm

        entry, scope, defaults = request.entry, self._scope, self._defaults()
        item = entry.item

        def start(spec: ForwardSpec | None) -> None:
            if spec is not None:
                self._favorites.record_use(scope.context, entry.key)
                self._forwards.start((spec,))

        context = self._naming().name(scope.context, scope.options)
        content = FormContent(
            defaults.spec(target_of(scope, entry, request.port or DeclaredPort(number=80))),
            defaults, entry.ports, owner=_owner_name(item), title="Forward",
            port_user=self._port_user(), check_port=self._check_port,
            context=context, worked=self._worked((scope.context, scope.options), context),
        )  # fmt: skip
        self._app.push_screen(self._kept_screens.take(ForwardForm).fill(content), start)

    def edit(self, forward_ids: Sequence[str]) -> None:
        """Open the form of an existing forward, the first of these."""
        self._queue.enqueue(partial(self._edit, forward_ids))

    async def _edit(self, forward_ids: Sequence[str]) -> None:
        from tui_forward.tui.screens.forward_form import FormContent, ForwardForm

        forward = next(iter(self._sampler.forwards(forward_ids)), None)
        if forward is None:
            return
        if forward.spec.proxy:
            raise UsageError(
                "a target of the cluster proxy cannot be edited",
                hint="start a forward to it, which has a local port of its own",
            )
        pod = self._pod_of(forward)

        def replace(spec: ForwardSpec | None) -> None:
            if spec is not None and spec != forward.spec:
                self._forwards.replace(forward, spec)

        context = self._naming().name_of([forward])
        worked = self._worked(forward.spec.target.cluster_key, context)
        content = FormContent(
            forward.spec, self._defaults(), tuple(self._ports_of(forward, pod)),
            owner=_owner_name(pod), title="Edit", port_user=self._port_user(except_id=forward.id),
            check_port=self._check_port, context=context, worked=worked,
        )  # fmt: skip
        self._app.push_screen(self._kept_screens.take(ForwardForm).fill(content), replace)

    def _pod_of(self, forward: Forward) -> PodSummary | None:
        """Return the pod of a forward, if its cluster is shown."""
        if forward.spec.target.cluster_key != (self._scope.context, self._scope.options):
            return None
        target = forward.pod or forward.spec.target
        return self._cluster_state().pods.get(key_of(TargetKind.POD, target.namespace, target.name))

    def _ports_of(self, forward: Forward, pod: PodSummary | None) -> Sequence[DeclaredPort]:
        """Return the ports that the target of a forward declares: a service has its own."""
        target = forward.spec.target
        if target.cluster_key != (self._scope.context, self._scope.options):
            return ()
        entry = entry_of(self._cluster_state(), key_of(target.kind, target.namespace, target.name))
        return entry.ports if entry is not None else pod.ports if pod is not None else ()

    def _worked(self, cluster: ClusterKey, context: str) -> str:
        return last_transport(self._sampler.snapshot.forwards, cluster, context)

    def _port_user(self, except_id: str = "") -> Callable[[Sequence[str], int], str]:
        """Return a function from local addresses and port to the forward there, in words."""
        others = [one for one in self._sampler.snapshot.forwards if one.id != except_id]

        def describe_user(addresses: Sequence[str], port: int) -> str:
            user = find_port_user(others, addresses, port)
            return f"the forward to {target_text(user)}" if user is not None else ""

        return describe_user

    def open_command_line(self, text: str = "") -> None:
        """Open the dialog for a target or a kubectl command, with a text to start with."""
        from tui_forward.tui.screens.paste_dialog import PasteDialog

        def start(specs: tuple[ForwardSpec, ...] | None) -> None:
            if specs:
                self._forwards.start(specs)

        dialog = PasteDialog(self._paste_options(self._scope.namespace), text)
        self._app.push_screen(dialog, start)

    def paste(self, text: str) -> None:
        """Start the forwards of pasted commands; show them first if there is anything to check."""
        from tui_forward.profiles.importers.pasted_text import read_paste

        # Without a namespace kubectl uses that of the context, not the one that is shown.
        result = read_paste(text, self._paste_options(namespace=""))
        if result.left_out or (result.specs and result.notes):
            self.open_command_line(text)
        elif result.specs:
            self._forwards.start(tuple(result.specs))

    def _paste_options(self, namespace: str) -> ReadOptions:
        from tui_forward.profiles.importers.command_reader import ReadOptions
        from tui_forward.profiles.importers.own_kubeconfig import own_kubeconfig_test

        environ = {**os.environ, "KUBECONFIG": self._kubeconfigs or ""}
        is_own = own_kubeconfig_test(environ) if self._kubeconfigs is not None else _is_never_own
        return ReadOptions(
            context=self._scope.context, namespace=namespace, access=self._scope.options,
            accept_secrets=True, defaults=self._defaults(), is_own_kubeconfig=is_own,
        )  # fmt: skip


def _is_never_own(_path: str) -> bool:
    return False


def _owner_name(item: object) -> str:
    return item.owner.name if isinstance(item, PodSummary) and item.owner is not None else ""
