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
from functools import partial
from typing import Final, Protocol

from tui_forward.model import DeclaredPort

_TERM = re.compile(r'(!?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))')
_BLANK = re.compile(r"\s")
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


class Filterable(Protocol):
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
_Match = Callable[[Filterable], int | None]
Span = tuple[int, int]  # from, and up to but without
_Spans = Callable[[str], list[Span]]
BEST: Final = 1000  # no score is higher, however many words there are


@dataclass(frozen=True, slots=True)
class _Term:
    match: _Match
    negated: bool
    spans: _Spans | None = None  # what to highlight in names


@dataclass(frozen=True, slots=True)
class FilterQuery:
    """A filter, taken apart.

    Attributes:
        text: As typed.
        scorer: What `score` calls, for whoever asks ten thousand times.
        marks: What finds the parts of a name that matched.
        asks: Whether there is any term.
    """

    text: str
    scorer: _Match = field(default=lambda _subject: 0, repr=False, compare=False)
    marks: tuple[_Spans, ...] = field(default=(), repr=False, compare=False)
    asks: bool = field(default=False, repr=False)

    def __bool__(self) -> bool:
        return self.asks

    def score(self, subject: Filterable) -> int | None:
        """How well something matches (higher is better, up to `BEST`), or None."""
        return self.scorer(subject)

    def spans(self, text: str) -> tuple[Span, ...]:
        """Which parts of a name made it match: disjoint, in order, for highlighting.

        Args:
            text: As shown; a match elsewhere than in it has no part here.
        """
        small = text.lower()
        if not self.marks or len(small) != len(text):  # as with "İ": places would not fit
            return ()
        found = sorted(span for mark in self.marks for span in mark(small))
        joined: list[Span] = []
        for start, end in found:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return tuple(joined)

    def is_narrower_than(self, other: FilterQuery) -> bool:
        """Whether whatever matches this matched `other` as well, as when somebody types on."""
        if not self.text.startswith(other.text) or '"' in self.text:
            return False
        # The last word has grown, and others were added. A longer word or prefix matches less;
        # a longer label or port is another one, and a longer exception excludes less.
        begun = _BLANK.split(other.text)[-1]
        whole = begun + _BLANK.split(self.text[len(other.text) :])[0]
        if begun == whole:
            return True
        where, colon, _ = whole.rpartition(":")
        return not whole.startswith("!") and (
            not colon
            or (where in _PREFIXED and begun.startswith(f"{where}:") and not _GLOB & set(whole))
        )


def parse_query(text: str) -> FilterQuery:
    """Take a filter apart. Never fails."""
    terms: list[_Term] = []
    for negated, where, quoted, plain in _TERM.findall(text.lower()):
        value = quoted or plain
        make = _PLACES.get(where)
        if where and make is None:
            value = f"{where}:{value}"
        if not value or (value.removesuffix(":") in _PLACES and value.endswith(":")):
            continue  # still being typed
        if make is not None:
            terms.append(_Term(make(value), bool(negated)))
        elif quoted:
            terms.append(_Term(_exactly(value), bool(negated), partial(_within, value)))
        elif value != "!":
            terms.append(_Term(_fuzzily(value), bool(negated), partial(_spans, value)))
    marks = tuple(term.spans for term in terms if term.spans is not None and not term.negated)
    return FilterQuery(text, _all_of(terms), marks, bool(terms))


def _all_of(terms: list[_Term]) -> _Match:
    wanted = [term.match for term in terms if not term.negated]
    unwanted = [term.match for term in terms if term.negated]
    if len(wanted) == 1 and not unwanted:
        return wanted[0]  # as most are, and each letter typed asks for thousands

    def match(subject: Filterable) -> int | None:
        total = 0
        for term in wanted:
            found = term(subject)
            if found is None:
                return None
            total += found
        for term in unwanted:
            if term(subject) is not None:
                return None
        return min(total, BEST)

    return match


def fuzzy_score(word: str) -> Callable[[str], int | None]:
    """How well a word matches a name: whole, at the beginning, within, or letter by letter.

    A jump to the beginning of a part of the name costs nothing; one other gap is forgiven.
    Letters strewn over a long name are no match anybody meant. So a longer word never matches
    what a shorter one did not.
    """
    size = len(word)

    def score(text: str) -> int | None:
        place = text.find(word)
        if place < 0:
            return _strewn(word, text) if size > 1 else None
        if place == 0:
            return 100 if len(text) == size else 80
        return 60 if _begins_a_part(word, text, place) >= 0 else 40

    return score


def _begins_a_part(word: str, text: str, place: int) -> int:
    """Where the word stands at the beginning of a part of a name, from `place` on; or -1."""
    while place > 0 and text[place - 1].isalnum():
        place = text.find(word, place + 1)
    return place


def _strewn(word: str, text: str) -> int | None:
    """For letters in order with one gap that counts at most: 20, less if far apart; else None."""
    at, gaps, first = -1, 0, text.find(word[0])
    for letter in word:
        found = text.find(letter, at + 1)
        if found < 0:
            return None
        if at >= 0 and found != at + 1 and text[found - 1].isalnum():
            gaps += 1
        at = found
    if gaps <= 1:
        between = at - first + 1 - len(word)
        return max(11, 20 - gaps - between // 2)
    # The first place of each letter is not always the best one.
    layers = _layers(word, text)
    return None if layers is None else 12 if layers[-1][0] else 11


def _layers(word: str, text: str) -> list[tuple[int, int]] | None:
    """For each letter, where it can stand: bits of places, without and with a gap that counts.

    All ways at once, in time that only grows with the length of both: a name from a hostile
    cluster cannot keep the screen busy.
    """
    whole, gapped = _places(word[0], text)[0], 0
    layers = [(whole, gapped)]
    for letter in word[1:]:
        places, begins = _places(letter, text)
        beyond = _beyond(whole)
        whole, gapped = (
            whole << 1 & places | beyond & begins,
            (gapped << 1 | beyond) & places | _beyond(gapped) & begins,
        )
        if not whole | gapped:
            return None
        layers.append((whole, gapped))
    return layers


def _places(letter: str, text: str) -> tuple[int, int]:
    """Where a letter stands, and where it stands at the beginning of a part of the name."""
    places = begins = 0
    place = text.find(letter)
    while place >= 0:
        bit = 1 << place
        places |= bit
        if not place or not text[place - 1].isalnum():
            begins |= bit
        place = text.find(letter, place + 1)
    return places, begins


def _beyond(places: int) -> int:
    """All places behind the first one; those behind the end of the text do no harm."""
    return -((places & -places) << 1)


def _within(word: str, text: str) -> list[Span]:
    place = text.find(word)
    if place < 0:
        return []
    better = _begins_a_part(word, text, place)
    place = better if better >= 0 else place
    return [(place, place + len(word))]


def _spans(word: str, text: str) -> list[Span]:
    if found := _within(word, text):
        return found
    layers = _layers(word, text) if len(word) > 1 else None
    if layers is None:
        return []
    whole, gapped = layers[-1]
    calm = bool(whole)  # no gap that counts is needed
    at = (whole or gapped).bit_length() - 1
    places = [at]
    for whole, gapped in reversed(layers[:-1]):
        same = whole if calm else gapped
        earlier = (1 << at) - 1
        if at and same >> (at - 1) & 1:
            at -= 1
        elif same & earlier and not text[at - 1].isalnum():
            at = (same & earlier).bit_length() - 1
        else:
            calm = True
            at = (whole & earlier).bit_length() - 1
        places.append(at)
    return [(place, place + 1) for place in reversed(places)]


def _fuzzily(word: str) -> _Match:
    size = len(word)

    def match(subject: Filterable) -> int | None:  # `fuzzy`, without a call for each subject
        text = subject.title
        place = text.find(word)
        if place == 0:
            return 100 if len(text) == size else 80
        if place > 0:
            return 60 if _begins_a_part(word, text, place) >= 0 else 40
        found = _strewn(word, text) if size > 1 else None
        return 10 if found is None and word in subject.words else found

    return match


def _exactly(text: str) -> _Match:
    return lambda subject: (
        50 if text in f"{subject.namespace}/{subject.title}" or text in subject.words else None
    )


def _pattern(value: str, get: Callable[[Filterable], str]) -> _Match:
    if _GLOB & set(value):
        return lambda subject: 1 if fnmatchcase(get(subject), value) else None
    return lambda subject: 1 if get(subject).startswith(value) else None


def _label(value: str) -> _Match:
    key, _, wanted = value.partition("=")  # "app=" is still being typed

    def match(subject: Filterable) -> int | None:
        labels = subject.labels
        found = labels.get(key)
        if found is None:
            found = next((labels[name] for name in labels if name.lower() == key), None)
        return 1 if found is not None and (not wanted or found.lower() == wanted) else None

    return match


def _port(value: str) -> _Match:
    number = int(value) if value.isdecimal() and len(value) < 6 else -1
    return lambda subject: (
        1
        if any(port.number == number or port.name.lower() == value for port in subject.ports)
        else None
    )


def _kind(value: str) -> _Match:
    # Until a name is complete, whatever it may become.
    exact = _KINDS.get(value)
    kinds = {exact} if exact else {kind for name, kind in _KINDS.items() if name.startswith(value)}
    return lambda subject: 1 if subject.kind in kinds else None


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
