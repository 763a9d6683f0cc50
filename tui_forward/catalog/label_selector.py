"""Label selectors in kubectl's syntax, as in apimachinery `pkg/labels/selector.go`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from tui_forward.errors import UsageError

# Longer ones are not kept: the cache outlives the objects.
_MAX_CACHED_LENGTH = 2048
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_TOKEN = re.compile(r"\s*(?:(==|!=|=|>|<|!|\(|\)|,)|([^\s=!<>(),]+))")


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one label."""

    key: str
    operator: str  # "in", "notin", "exists", "!", ">" or "<"
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet the requirement."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not re.fullmatch(r"-?\d+", value):
            return False
        (bound,) = self.values
        return int(value) > int(bound) if self.operator == ">" else int(value) < int(bound)


class Selector(msgspec.Struct, frozen=True):
    """Conjunction of requirements; without any, everything matches."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def equalities(self) -> tuple[tuple[str, str], ...]:
        """Return the labels with one required value, which an index can look up."""
        return tuple(
            (requirement.key, next(iter(requirement.values)))
            for requirement in self.requirements
            if requirement.operator == "in" and len(requirement.values) == 1
        )


def parse_selector(text: str) -> Selector:
    """Parse a selector in kubectl's syntax, or raise UsageError; empty text selects everything."""
    return _parse_cached(text) if len(text) <= _MAX_CACHED_LENGTH else _Parser(text).parse()


@lru_cache(maxsize=4096)
def _parse_cached(text: str) -> Selector:
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._tokenize(text)
        self._at = 0

    def _error(self, problem: str) -> UsageError:
        return UsageError(
            f'the label selector "{self._text}" is not valid: {problem}',
            hint="For example: app=web,tier!=cache or 'env in (dev,test)'",
        )

    def _tokenize(self, text: str) -> list[str]:
        tokens = []
        position = 0
        while position < len(text) and not text[position:].isspace():
            found = _TOKEN.match(text, position)
            if found is None:
                raise self._error(f'unexpected "{text[position:].strip()[:10]}"')
            tokens.append(found.group(1) or found.group(2))
            position = found.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def parse(self) -> Selector:
        requirements = []
        while self._peek():
            requirements.append(self._requirement())
            separator = self._take()
            if separator not in {"", ","}:
                raise self._error(f'expected "," before "{separator}"')
            if separator and not self._peek():
                raise self._error("it ends with a comma")
        return Selector(tuple(requirements))

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._key(), "!")
        key = self._key()
        operator = self._peek()
        if operator in {"", ","}:
            return Requirement(key, "exists")
        self._take()
        match operator:
            case "=" | "==":
                return Requirement(key, "in", frozenset({self._value()}))
            case "!=":
                return Requirement(key, "notin", frozenset({self._value()}))
            case "in" | "notin":
                return Requirement(key, operator, self._values())
            case ">" | "<":
                value = self._take()
                if not re.fullmatch(r"-?\d+", value):
                    raise self._error(f'"{operator}" needs a number')
                return Requirement(key, operator, frozenset({value}))
        raise self._error(f'unknown operator "{operator}"')

    def _key(self) -> str:
        key = self._take()
        if len(key) > 317 or not _KEY.fullmatch(key):
            raise self._error(f'"{key}" is not a label name')
        return key

    def _value(self) -> str:
        if self._peek() in {"", ","}:
            return ""  # `key=` requires the empty value
        value = self._take()
        if len(value) > 63 or not _VALUE.fullmatch(value):
            raise self._error(f'"{value}" is not a label value')
        return value

    def _values(self) -> frozenset[str]:
        if self._take() != "(":
            raise self._error('expected "("')
        values = set()
        while True:
            if self._peek() in {",", ")"}:
                values.add("")
            else:
                values.add(self._value())
            separator = self._take()
            if separator == ")":
                return frozenset(values)
            if separator != ",":
                raise self._error('expected "," or ")"')
