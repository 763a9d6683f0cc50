"""Commands of other programs that choose the current context: of clouds, local clusters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tui_forward.profiles.importers.shell_lexer import Expansion, Literal, Word

# First words of a command, its options with the name of the cluster, and the name of the context,
# in which `{}` is that name. Without it the name of the context is not known.
_TOOLS: Final[tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...]] = (
    (("aws", "eks", "update-kubeconfig"), ("--alias",), "{}"),
    (("aws", "eks", "update-kubeconfig"), ("--name",), ""),
    (("az", "aks", "get-credentials"), ("--context",), "{}"),
    (("az", "aks", "get-credentials"), ("--name", "-n"), "{}"),
    (("gcloud", "container", "clusters", "get-credentials"), (), ""),
    (("doctl", "kubernetes", "cluster", "kubeconfig", "save"), (), ""),
    (("kind", "create", "cluster"), ("--name", "-n"), "kind-{}"),
    (("kind", "export", "kubeconfig"), ("--name", "-n"), "kind-{}"),
    (("k3d", "cluster", "create"), (), "k3d-{}"),
    (("k3d", "kubeconfig", "merge"), (), "k3d-{}"),
    (("minikube", "start"), ("--profile", "-p"), "{}"),
    (("minikube", "profile"), (), "{}"),
    (("vcluster", "connect"), (), ""),
    (("tsh", "kube", "login"), (), ""),
    (("oc", "login"), (), ""),
)
# Contexts of commands that name no cluster.
_DEFAULTS: Final = {
    ("kind", "create", "cluster"): "kind-kind",
    ("kind", "export", "kubeconfig"): "kind-kind",
    ("minikube", "start"): "minikube",
}
CHOOSES_CONTEXT: Final = (
    r"update-kubeconfig|get-credentials|kubeconfig (?:save|merge)|export kubeconfig|cluster create"
    r"|create cluster|minikube (?:start|profile)|vcluster connect|kube login|oc login"
)


def chosen_context(words: Sequence[Word]) -> Word | None:
    """Return the context that a command chooses; an expansion if its name is not known.

    None for other commands.
    """
    texts = [one.text for one in words]
    known: tuple[str, ...] | None = None
    for start, options, context in _TOOLS:
        if tuple(texts[: len(start)]) != start:
            continue
        known = start
        cluster = _value(words, texts, options) if options else _positional(words, len(start))
        if cluster is None:
            continue
        if context:
            before, _, after = context.partition("{}")
            return Word((Literal(before), *cluster.parts, Literal(after)))
        return _unknown(cluster.text)
    if known is None:
        return None
    default = _DEFAULTS.get(known)
    return _unknown("") if default is None else Word((Literal(default),))


def _value(words: Sequence[Word], texts: Sequence[str], options: tuple[str, ...]) -> Word | None:
    for at, text in enumerate(texts):
        name, equals, value = text.partition("=")
        if name not in options:
            continue
        if not equals:
            return words[at + 1] if at + 1 < len(words) else None
        return Word((Literal(value),)) if not words[at].expansions else words[at]
    return None


def _positional(words: Sequence[Word], start: int) -> Word | None:
    following = words[start] if len(words) > start else None
    return None if following is None or following.text.startswith("-") else following


def _unknown(cluster: str) -> Word:
    """Return a context that the user has to name: `CONTEXT_OF_prod`."""
    name = "".join(char if char.isalnum() else "_" for char in cluster)
    name = f"CONTEXT_OF_{name}" if name else "CONTEXT"
    return Word((Expansion(f"${name}", name),))
