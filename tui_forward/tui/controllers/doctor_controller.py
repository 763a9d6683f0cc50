"""Opens the doctor for a forward, an object of the cluster, or the context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_forward.model import CatalogScope, DoctorQuery, Forward, Target

if TYPE_CHECKING:
    from textual.app import App

    from tui_forward.session import Session


def query_of_forward(forward: Forward) -> DoctorQuery:
    """Return the query for the chain of a forward, in its environment."""
    target = forward.spec.target
    return DoctorQuery(
        context=target.context, options=target.options, namespace=target.namespace,
        target=target, transport=forward.spec.transport, forward=forward.id,
    )  # fmt: skip


def query_of_target(target: Target) -> DoctorQuery:
    """Return the query for an object of a cluster."""
    return DoctorQuery(
        context=target.context, options=target.options, namespace=target.namespace, target=target
    )


def query_of_scope(scope: CatalogScope) -> DoctorQuery:
    """Return the query that stops at permissions; an empty context is the current one."""
    return DoctorQuery(context=scope.context, options=scope.options, namespace=scope.namespace)


class DoctorController:
    """Opens the screen of the doctor."""

    def __init__(self, app: App[None], session: Session) -> None:
        self._app = app
        self._session = session

    def open(self, subject: Forward | Target | None, scope: CatalogScope) -> None:
        """Test the chain of a forward or an object, else that of the context of a scope."""
        if isinstance(subject, Forward):
            self._show(query_of_forward(subject))
        elif subject is not None:
            self._show(query_of_target(subject))
        else:
            self._show(query_of_scope(scope))

    def _show(self, query: DoctorQuery) -> None:
        from tui_forward.tui.screens.doctor import DoctorScreen

        self._app.push_screen(DoctorScreen(query, self._session.diagnose))
