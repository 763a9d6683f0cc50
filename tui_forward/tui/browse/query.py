"""The language of the filter: words that match anywhere, and terms that say where.

    web                 fuzzy: in the name, namespace, kind, status, node, owner or a port
    "shop/web-1"        exactly this, somewhere
    ns:shop  node:a     the namespace (the node) begins with it, or matches it as a glob
    label:app=web       has this label; `label:app` has any such label
    port:8080 port:http declares this port
    status:crash        the status begins with it
    kind:deploy         kubectl's names, short and long
    !word  !ns:kube-*   not

All terms must match. Nothing is ever an error: what is not understood is searched for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Protocol

from tui_forward.model import DeclaredPort

_TERM = re.compile(r'(!?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))')
_KINDS: Final[Mapping[str, str]] = {
    alias: kind
    for kind, aliases in {
        "pod": ("pod", "pods", "po"),
        "svc": ("svc", "service", "services"),
        "deploy": ("deploy", "deployment", "deployments"),
        "sts": ("sts", "statefulset", "statefulsets"),
        "ds": ("ds", "daemonset", "daemonsets"),
        "rs": ("rs", "replicaset", "replicasets"),
        "job": ("job", "jobs"),
    }.items()
    for alias in aliases
}


class Subject(Protocol):
    """What can be searched; all texts in lower case."""

    @property
    def title(self) -> str:
        """The name: matches here count most."""

    @property
    def words(self) -> str:
        """Everything else a plain word may mean, separated by blanks."""

    @property
    def namespace(self) -> str:
        """Its namespace."""

    @property
    def kind(self) -> str:
        """Kubectl's short name of its kind."""

    @property
    def node(self) -> str:
        """The node it runs on, or nothing."""

    @property
    def status(self) -> str:
        """As kubectl prints it."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the object."""

    @property
    def ports(self) -> tuple[DeclaredPort, ...]:
        """Ports it declares."""


# A score, higher is better, or None.
_Match = Callable[[Subject], int | None]


@dataclass(frozen=True, slots=True)
class _Term:
    match: _Match
    negated: bool
    word: str  # what to highlight in names, if anything


@dataclass(frozen=True, slots=True)
class Query:
    """A filter, taken apart.

    Attributes:
        text: As typed.
    """

    text: str
    _terms: tuple[_Term, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self._terms)

    def score(self, subject: Subject) -> int | None:
        """How well something matches (higher is better), or None if it does not."""
        total = 0
        for term in self._terms:
            found = term.match(subject)
            if term.negated:
                if found is not None:
                    return None
            elif found is None:
                return None
            else:
                total += found
        return total

    def narrows(self, other: Query) -> bool:
        """Whether whatever matches this matched `other` as well, as when somebody types on."""
        if not self.text.startswith(other.text) or '"' in self.text:
            return False
        # The last word has grown, and others were added. A longer word or prefix matches less;
        # a longer label or port is another one, and a longer exception excludes less.
        begun = other.text.split(" ")[-1]
        whole = begun + self.text[len(other.text) :].split(" ")[0]
        if begun == whole:
            return True
        where, colon, _ = whole.rpartition(":")
        return not whole.startswith("!") and (
            not colon
            or (where in _PREFIXED and begun.startswith(f"{where}:") and not _GLOB & set(whole))
        )


def parse(text: str) -> Query:
    """Take a filter apart. Never fails."""
    terms = []
    for negated, where, quoted, plain in _TERM.findall(text.lower()):
        value = quoted or plain
        make = _PLACES.get(where)
        if where and make is None:
            value = f"{where}:{value}"
        if not value or (value.removesuffix(":") in _PLACES and value.endswith(":")):
            continue  # still being typed
        if make is not None:
            terms.append(_Term(make(value), bool(negated), ""))
        elif quoted:
            terms.append(_Term(_exactly(value), bool(negated), "" if negated else value))
        elif value != "!":
            terms.append(_Term(_fuzzily(value), bool(negated), "" if negated else value))
    return Query(text, tuple(terms))


def fuzzy(word: str) -> Callable[[str], int | None]:
    """How well a word matches a name: whole, at the beginning, within, or letter by letter.

    A jump to the beginning of a part of the name costs nothing; one other gap is forgiven.
    Letters strewn over a long name are no match anybody meant. So a longer word never matches
    what a shorter one did not.
    """
    anywhere = re.compile(".*?".join(map(re.escape, word)), re.DOTALL).search
    size = len(word)

    def score(text: str) -> int | None:
        place = text.find(word)
        if place == 0:
            return 100 if len(text) == size else 80
        if place > 0:
            return 40 if text[place - 1].isalnum() else 60
        if anywhere(text) is None:
            return None
        at, gaps = -1, 0
        for letter in word:
            found = text.find(letter, at + 1)
            if at >= 0 and found != at + 1 and text[found - 1].isalnum():
                gaps += 1
            at = found
        return 20 - gaps if gaps <= 1 else None

    return score


def _fuzzily(word: str) -> _Match:
    score = fuzzy(word)

    def match(subject: Subject) -> int | None:
        found = score(subject.title)
        if found is None and word in subject.words:
            return 10
        return found

    return match


def _exactly(text: str) -> _Match:
    return lambda subject: (
        50 if text in f"{subject.namespace}/{subject.title}" or text in subject.words else None
    )


def _pattern(value: str, get: Callable[[Subject], str]) -> _Match:
    if _GLOB & set(value):
        return lambda subject: 1 if fnmatchcase(get(subject), value) else None
    return lambda subject: 1 if get(subject).startswith(value) else None


def _label(value: str) -> _Match:
    key, equals, wanted = value.partition("=")

    def match(subject: Subject) -> int | None:
        for name, found in subject.labels.items():
            if name.lower() == key and (not equals or found.lower() == wanted):
                return 1
        return None

    return match


def _port(value: str) -> _Match:
    number = int(value) if value.isdecimal() and len(value) < 6 else -1
    return lambda subject: (
        1
        if any(port.number == number or port.name.lower() == value for port in subject.ports)
        else None
    )


def _kind(value: str) -> _Match:
    kind = _KINDS.get(value, value)
    return lambda subject: 1 if subject.kind == kind else None


_PREFIXED: Final = frozenset({"ns", "node", "status"})
_GLOB: Final = frozenset("*?[")
_PLACES: Final[Mapping[str, Callable[[str], _Match]]] = {
    "ns": lambda value: _pattern(value, lambda subject: subject.namespace),
    "node": lambda value: _pattern(value, lambda subject: subject.node),
    "status": lambda value: _pattern(value, lambda subject: subject.status),
    "label": _label,
    "port": _port,
    "kind": _kind,
}
