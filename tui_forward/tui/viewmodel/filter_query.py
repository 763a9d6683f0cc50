"""The filter language: words that match anywhere, and terms for one attribute.

    web                 fuzzy: in the name, namespace, kind, status, node, owner or a port
    "shop/web-1"        exactly this text
    ns:shop  node:a     the namespace (the node) begins with it, or matches it as a glob
    label:app=web       has this label; `label:app` has any such label
    port:8080 port:http declares this port
    status:crash        the status begins with it
    kind:deploy         kubectl's names, short and long
    !word  !ns:kube-*   not

All terms must match. No input is an error: unknown terms are searched as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Final, Protocol

import msgspec

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
    """Object that can be filtered; all texts in lower case."""

    @property
    def title(self) -> str:
        """Return the name, where matches have the highest scores."""

    def mentions(self, text: str) -> bool:
        """Return whether a text in lower case is part of another one that a word can match."""

    @property
    def namespace(self) -> str:
        """Return the namespace."""

    @property
    def kind(self) -> str:
        """Return kubectl's short name of the kind."""

    @property
    def node(self) -> str:
        """Return the node, or an empty string."""

    @property
    def status(self) -> str:
        """Return the status as in kubectl."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels."""

    @property
    def ports(self) -> tuple[DeclaredPort, ...]:
        """Return the declared ports."""


# A score, higher is better, or None.
_Match = Callable[[Filterable], int | None]
Span = tuple[int, int]  # start, end (exclusive)
_Spans = Callable[[str], list[Span]]
BEST: Final = 1000  # maximum score for any number of words
_MAX_TESTED: Final = 16  # letters of a word


class _Term(msgspec.Struct, frozen=True):
    match: _Match
    negated: bool
    spans: _Spans | None = None  # finds parts to highlight


class FilterQuery(msgspec.Struct, frozen=True, eq=False):
    """Parsed filter. Equal to another one of the same text."""

    text: str
    # The function behind `score`, for hot loops.
    scorer: _Match
    marks: tuple[_Spans, ...]  # find parts to highlight
    asks: bool  # for anything

    def __eq__(self, other: object) -> bool:
        """Return whether both texts are the same."""
        return isinstance(other, FilterQuery) and self.text == other.text

    def __hash__(self) -> int:
        """Return the hash of the text."""
        return hash(self.text)

    def __bool__(self) -> bool:
        return self.asks

    def score(self, subject: Filterable) -> int | None:
        """Return the score (higher is better, up to `BEST`), or None without a match."""
        return self.scorer(subject)

    def spans(self, text: str) -> tuple[Span, ...]:
        """Return the matching parts of a shown text: disjoint, in order, for highlighting."""
        small = text.lower()
        if not self.marks or len(small) != len(text):  # lower() changed the length, as of "İ"
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
        """Return whether every match of this is a match of `other`: the query was extended."""
        if not self.text.startswith(other.text) or '"' in self.text:
            return False
        # The last word was extended and others added. A longer word or prefix matches less; a
        # longer label or port differs, and a longer negation excludes less.
        prefix = _BLANK.split(other.text)[-1]
        word = prefix + _BLANK.split(self.text[len(other.text) :])[0]
        if prefix == word:
            return True
        attribute, colon, _ = word.rpartition(":")
        return not word.startswith("!") and (
            not colon
            or (
                attribute in _PREFIXED
                and prefix.startswith(f"{attribute}:")
                and not _GLOB & set(word)
            )
        )


def parse_query(text: str) -> FilterQuery:
    """Parse a filter. Never fails."""
    terms: list[_Term] = []
    for negated, attribute, quoted, plain in _TERM.findall(text.lower()):
        value = quoted or plain
        make = _ATTRIBUTES.get(attribute)
        if attribute and make is None:
            value = f"{attribute}:{value}"
        if not value or (value.removesuffix(":") in _ATTRIBUTES and value.endswith(":")):
            continue  # incomplete
        if make is not None:
            terms.append(_Term(make(value), bool(negated)))
        elif quoted:
            terms.append(_Term(_exactly(value), bool(negated), partial(_within, value)))
        elif value != "!":
            terms.append(_Term(_fuzzily(value), bool(negated), partial(_spans, value)))
    marks = tuple(term.spans for term in terms if term.spans is not None and not term.negated)
    return FilterQuery(text, _all_of(terms), marks, bool(terms))


def _all_of(terms: list[_Term]) -> _Match:
    required = [term.match for term in terms if not term.negated]
    excluded = [term.match for term in terms if term.negated]
    if len(required) == 1 and not excluded:
        return required[0]  # fast path: the most frequent case, run for thousands of entries

    def match(subject: Filterable) -> int | None:
        total = 0
        for term in required:
            found = term(subject)
            if found is None:
                return None
            total += found
        for term in excluded:
            if term(subject) is not None:
                return None
        return min(total, BEST)

    return match


def fuzzy_score(word: str) -> Callable[[str], int | None]:
    """Return a function that scores a name: equal, prefix, substring, or subsequence.

    In a subsequence, jumps to the start of a part of the name are free and one other gap is
    allowed, because letters scattered over a long name are no useful match. A longer word never
    matches where a shorter prefix of it did not.
    """
    size = len(word)

    def score(text: str) -> int | None:
        position = text.find(word)
        if position < 0:
            return _subsequence_score(word, text) if size > 1 else None
        if position == 0:
            return 100 if len(text) == size else 80
        return 60 if _find_part_start(word, text, position) >= 0 else 40

    return score


def _find_part_start(word: str, text: str, position: int) -> int:
    """Return the position of the word at the start of a part of a name, or -1."""
    while position > 0 and text[position - 1].isalnum():
        position = text.find(word, position + 1)
    return position


def _subsequence_score(word: str, text: str) -> int | None:
    """Score a subsequence with at most one counted gap: up to 20, less if spread; or None."""
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
    # The first position of each letter is not always the best one.
    layers = _layers(word, text)
    return None if layers is None else 12 if layers[-1][0] else 11


def _layers(word: str, text: str) -> list[tuple[int, int]] | None:
    """Return per letter the bit sets of possible positions, without and with a counted gap.

    Evaluates all alignments at once in time linear in both lengths, so that a name from a
    hostile cluster cannot block the screen.
    """
    whole, gapped = _positions(word[0], text)[0], 0
    layers = [(whole, gapped)]
    for letter in word[1:]:
        positions, begins = _positions(letter, text)
        beyond = _beyond(whole)
        whole, gapped = (
            whole << 1 & positions | beyond & begins,
            (gapped << 1 | beyond) & positions | _beyond(gapped) & begins,
        )
        if not whole | gapped:
            return None
        layers.append((whole, gapped))
    return layers


def _positions(letter: str, text: str) -> tuple[int, int]:
    """Return the positions of a letter, and those at the start of a part, as bit sets."""
    positions = begins = 0
    position = text.find(letter)
    while position >= 0:
        bit = 1 << position
        positions |= bit
        if not position or not text[position - 1].isalnum():
            begins |= bit
        position = text.find(letter, position + 1)
    return positions, begins


def _beyond(positions: int) -> int:
    """Return all positions after the first one; excess high bits are harmless."""
    return -((positions & -positions) << 1)


def _within(word: str, text: str) -> list[Span]:
    position = text.find(word)
    if position < 0:
        return []
    better = _find_part_start(word, text, position)
    position = better if better >= 0 else position
    return [(position, position + len(word))]


def _spans(word: str, text: str) -> list[Span]:
    if found := _within(word, text):
        return found
    layers = _layers(word, text) if len(word) > 1 else None
    if layers is None:
        return []
    whole, gapped = layers[-1]
    gap_free = bool(whole)  # no counted gap is needed
    at = (whole or gapped).bit_length() - 1
    positions = [at]
    for whole, gapped in reversed(layers[:-1]):
        same = whole if gap_free else gapped
        earlier = (1 << at) - 1
        if at and same >> (at - 1) & 1:
            at -= 1
        elif same & earlier and not text[at - 1].isalnum():
            at = (same & earlier).bit_length() - 1
        else:
            gap_free = True
            at = (whole & earlier).bit_length() - 1
        positions.append(at)
    return [(position, position + 1) for position in reversed(positions)]


def _fuzzily(word: str) -> _Match:
    size = len(word)
    has_letters = _letters_in_order(word)

    def match(subject: Filterable) -> int | None:  # inlined `fuzzy_score`: no call per subject
        text = subject.title
        position = text.find(word)
        if position == 0:
            return 100 if len(text) == size else 80
        if position > 0:
            return 60 if _find_part_start(word, text, position) >= 0 else 40
        found = _subsequence_score(word, text) if size > 1 and has_letters(text) else None
        return 10 if found is None and subject.mentions(word) else found

    return match


def _letters_in_order(word: str) -> Callable[[str], object]:
    """Return a function that is true of texts with the first letters of a word in their order.

    It is linear in the length of the text: no part of the pattern can match in two ways.
    """
    letters = [re.escape(letter) for letter in word[:_MAX_TESTED]]
    return re.compile("".join(f"[^{one}]*+{one}" for one in letters), re.DOTALL).match


def _exactly(text: str) -> _Match:
    return lambda subject: (
        50 if text in f"{subject.namespace}/{subject.title}" or subject.mentions(text) else None
    )


def _pattern(value: str, get: Callable[[Filterable], str]) -> _Match:
    if _GLOB & set(value):
        return lambda subject: 1 if fnmatchcase(get(subject), value) else None
    return lambda subject: 1 if get(subject).startswith(value) else None


def _label(value: str) -> _Match:
    key, _, expected = value.partition("=")  # "app=" is incomplete

    def match(subject: Filterable) -> int | None:
        labels = subject.labels
        found = labels.get(key)
        if found is None:
            found = next((labels[name] for name in labels if name.lower() == key), None)
        return 1 if found is not None and (not expected or found.lower() == expected) else None

    return match


def _port(value: str) -> _Match:
    number = int(value) if value.isdecimal() and len(value) < 6 else -1
    return lambda subject: (
        1
        if any(port.number == number or port.name.lower() == value for port in subject.ports)
        else None
    )


def _kind(value: str) -> _Match:
    # An incomplete name matches every kind that it is a prefix of.
    exact = _KINDS.get(value)
    kinds = {exact} if exact else {kind for name, kind in _KINDS.items() if name.startswith(value)}
    return lambda subject: 1 if subject.kind in kinds else None


_PREFIXED: Final = frozenset({"ns", "node", "status"})
_GLOB: Final = frozenset("*?[")
_ATTRIBUTES: Final[Mapping[str, Callable[[str], _Match]]] = {
    "ns": lambda value: _pattern(value, lambda subject: subject.namespace),
    "node": lambda value: _pattern(value, lambda subject: subject.node),
    "status": lambda value: _pattern(value, lambda subject: subject.status), "label": _label,
    "port": _port, "kind": _kind,
}  # fmt: skip
