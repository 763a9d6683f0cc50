"""Contexts that the setting `protected_contexts` protects, and how contexts are named. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from glob import escape
from typing import Final
from urllib.parse import urlsplit

from tui_forward.model import NO_OPTIONS, AccessOptions, Context, Target
from tui_forward.settings.parser import Settings

MARK: Final = "!"  # follows the name of a protected context, wherever it is named
INSECURE: Final = " insecure"  # follows that of one whose server's certificate is not verified
# What people call production, between separators: `prod`, `eu-prod-1`, `production`, `prd`.
_PRODUCTION: Final = re.compile(r"(?:^|[^a-z])(?:prod|production|prd|live)(?![a-z])")


class ProtectedContexts:
    """Which contexts are protected.

    A pattern is a glob (`prod*`), matched without regard to case against the whole name of a
    context, of its cluster, and of its server's host.
    """

    def __init__(self, patterns: Iterable[str] = (), contexts: Iterable[Context] = ()) -> None:
        self._patterns = tuple(pattern.lower() for pattern in patterns)
        self._contexts: Mapping[str, Context] = {one.name: one for one in contexts}
        self._servers: dict[str, set[str]] = {}  # by cluster
        for one in self._contexts.values():
            self._servers.setdefault(one.cluster, set()).add(one.server)
        self._current = next((name for name, one in self._contexts.items() if one.current), "")
        self.context_names = frozenset(self._contexts)  # of the kubeconfig

    def __bool__(self) -> bool:
        """Return whether there is any pattern."""
        return bool(self._patterns)

    def is_protected(self, context: str, options: AccessOptions = NO_OPTIONS) -> bool:
        """Return whether a context is protected; "" is the current one.

        One that the kubeconfig does not have is judged by its name. Another cluster or server
        that the options name is judged too.
        """
        if not self._patterns:
            return False
        name = context or self._current
        known = self._contexts.get(name)
        names = [name, options.cluster, _host(options.server)]
        if options.cluster:
            names += self._servers.get(options.cluster, ())
        if known is not None:
            names += (known.cluster, known.server)
        return any(self._matches(one) for one in names if one)

    def is_insecure(self, context: str, options: AccessOptions = NO_OPTIONS) -> bool:
        """Return whether the certificate of a context's server is not verified; "" is the current.

        As in kubectl, another server does not inherit that from the cluster of the context.
        """
        if options.insecure or options.server:
            return options.insecure
        if options.cluster:
            return any(
                one.insecure for one in self._contexts.values() if one.cluster == options.cluster
            )
        known = self._contexts.get(context or self._current)
        return known is not None and known.insecure

    def shown_name(self, context: str, options: AccessOptions = NO_OPTIONS) -> str:
        """Return the name of a context with its marks, as it is shown."""
        return marked(
            context, is_protected=self.is_protected(context, options),
            is_insecure=self.is_insecure(context, options),
        )  # fmt: skip

    def shown_names_of(self, targets: Iterable[Target]) -> tuple[str, ...]:
        """Return the names of the protected contexts of targets as shown, each once, in order."""
        names = {
            marked(
                self.place_of(one), is_protected=True,
                is_insecure=self.is_insecure(one.context, one.options),
            ): None
            for one in targets
            if self.is_protected(one.context, one.options)
        }  # fmt: skip
        return tuple(names)

    def place_of(self, target: Target) -> str:
        """Return the context of a target; without one, what its options name."""
        options = target.options
        return target.context or self._current or options.cluster or options.server

    def _matches(self, name: str) -> bool:
        name = name.lower()
        return any(fnmatchcase(name, pattern) for pattern in self._patterns)


def protected_contexts(settings: Settings, contexts: Sequence[Context]) -> ProtectedContexts:
    """Return the contexts that the settings protect.

    While the setting cannot be read from the file, those that look like production are.
    """
    patterns = settings.protected_contexts
    if settings.problems and "protected_contexts" not in settings.setting_lines:
        patterns = tuple(map(escape, production_contexts(contexts)))
    return ProtectedContexts(patterns, contexts)


def marked(context: str, *, is_protected: bool, is_insecure: bool = False) -> str:
    """Return the name of a context as it is shown."""
    return f"{context}{MARK if is_protected else ''}{INSECURE if is_insecure else ''}"


def split_marks(shown: str) -> tuple[str, str]:
    """Return the name of a context and its marks."""
    name = shown.removesuffix(INSECURE).removesuffix(MARK)
    return name, shown[len(name) :]


def production_contexts(contexts: Sequence[Context]) -> tuple[str, ...]:
    """Return the names of contexts that look like production by their name or cluster."""
    return tuple(
        one.name
        for one in contexts
        if _PRODUCTION.search(one.name.lower()) or _PRODUCTION.search(one.cluster.lower())
    )


def _host(server: str) -> str:
    try:
        return urlsplit(server).hostname or ""
    except ValueError:
        return ""
