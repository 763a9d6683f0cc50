"""Logins as the dashboard names them. Pure."""

from __future__ import annotations


def describe_login(context: str, user: str) -> str:
    """Return where a login leads: the context, and the user of the kubeconfig if it is known."""
    where = context or "the current context"
    return f"{where} as {user}" if user else where
