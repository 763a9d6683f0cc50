"""A profile out of a text, or everything that is wrong with it, by line and column.

A file is only ever read as far as it is known: what is nested deeper, tagged or aliased means
nothing here, so that a hostile one can neither run anything nor keep the program busy.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tui_forward.common.arguments import (
    parse_addresses,
    parse_duration_value,
    parse_port,
    parse_target,
    validate_selector,
)
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import ForwardSpec, Target, TargetKind, TransportChoice
from tui_forward.profiles.profile import Profile, ProfileForward, env_prefix, profile_id

VERSION: Final = 1
LARGEST: Final = 256 * 1024
MOST_FORWARDS: Final = 500

NAMESPACE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
# What the YAML library says in the middle of a sentence of its own.
_CONTROL = re.compile(r"\s*\n\s*|[^\x20-\x7e\x80-\uffff]+")

Place = tuple[int, int]  # line and column, both from 0, as ruamel counts


@dataclass(frozen=True, slots=True)
class ProfileProblem:
    """One thing that is wrong with a profile.

    Attributes:
        file: The file.
        line: From 1.
        column: From 1.
        what: What is wrong, without a full stop.
        hint: What to do about it.
    """

    file: Path
    line: int
    column: int
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}"


class ProfileError(ConfigError):
    """A profile that cannot be used.

    Args:
        problems: All that is wrong with it, at least one.
    """

    def __init__(self, problems: Iterable[ProfileProblem]) -> None:
        self.problems = tuple(problems)
        first, more = self.problems[0], len(self.problems) - 1
        behind = f" (and {more} more)" if more else ""
        super().__init__(f"{first}{behind}", hint=first.hint)


class _WrongError(Exception):
    """One value is wrong."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def parse_profile(text: str, file: Path, *, team: bool = False) -> Profile:
    """Make a profile of what a file holds.

    Args:
        text: The whole file.
        file: For messages, and for the name if the file has none.
        team: It belongs to a working tree.

    Raises:
        ProfileError: With everything that is wrong.
    """
    return _Reader(file, team=team).read(text)


def load_roundtrip(text: str, file: Path) -> CommentedMap:
    """The YAML of a profile with its comments, to be changed and written again.

    Raises:
        ProfileError: It is no YAML, or no mapping.
    """
    try:
        found = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        raise ProfileError([_unreadable(error, file)]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        what = _one_line(str(error)) or type(error).__name__
        raise ProfileError([ProfileProblem(file, 1, 1, f"this is not YAML: {what}")]) from error
    if found is None:
        found = CommentedMap()
    if not isinstance(found, CommentedMap):
        hint = "write `forwards:` and beneath it one name for each forward"
        raise ProfileError([ProfileProblem(file, 1, 1, "a profile is a mapping", hint)])
    return found


def _unreadable(error: MarkedYAMLError, file: Path) -> ProfileProblem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = _one_line(str(error.problem or error.context or "it cannot be read"))
    if "duplicate key" in problem:
        return ProfileProblem(file, line, column, problem, "give each of them a name of its own")
    return ProfileProblem(
        file,
        line,
        column,
        f"this is not YAML: {problem}",
        "look at the indentation, and at quotation marks and brackets that are not closed",
    )


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:300]


class _Reader:
    """Reads one file, and gathers what is wrong with it."""

    def __init__(self, file: Path, *, team: bool) -> None:
        self._file = file
        self._team = team
        self._problems: list[ProfileProblem] = []

    def read(self, text: str) -> Profile:
        """See `read_profile`."""
        top = load_roundtrip(text, self._file)
        self._version(top)
        given = self._fields(top, _PROFILE)
        name = given.get("name", _name_of(self._file, team=self._team))
        profile = profile_id(name, self._file, team=self._team)
        forwards = self._forwards(top, given, profile)
        self._check_needs(top, forwards)
        self._check_clashes(top, forwards)
        if self._problems:
            raise ProfileError(sorted(self._problems, key=lambda one: (one.line, one.column)))
        return Profile(
            name=name,
            file=self._file,
            team=self._team,
            description=given.get("description", ""),
            forwards=tuple(forwards.values()),
        )

    def _wrong(self, place: Place, what: str, hint: str = "") -> None:
        self._problems.append(ProfileProblem(self._file, place[0] + 1, place[1] + 1, what, hint))

    def _version(self, top: CommentedMap) -> None:
        version = top.get("version", VERSION)
        if version == VERSION and not isinstance(version, bool):
            return
        newer = isinstance(version, int) and version > VERSION
        what = (
            f"version {version!r} is not known here"
            if not newer
            else (f"the file is of version {version}; this tui-forward knows up to {VERSION}")
        )
        self._wrong(top.lc.value("version"), _one_line(what), "update tui-forward" if newer else "")

    def _fields(self, found: CommentedMap, known: Mapping[str, _Parser]) -> dict[str, Any]:
        """What the keys of a mapping mean; wrong ones are told of and left out."""
        values: dict[str, Any] = {}
        for key in found:
            parser = known.get(key) if isinstance(key, str) else None
            if parser is None:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
                self._wrong(found.lc.key(key), f"`{_one_line(str(key))}` is not known here", hint)
                continue
            try:
                values[key] = parser(found[key])
            except _WrongError as error:
                self._wrong(found.lc.value(key), f"{key}: {error.what}", error.hint)
            except UsageError as error:
                self._wrong(found.lc.value(key), f"{key}: {error.message}", error.hint)
        return values

    def _forwards(
        self, top: CommentedMap, given: Mapping[str, Any], profile: str
    ) -> dict[str, ProfileForward]:
        if "forwards" not in top and not self._problems:
            # Who wants none says so; what says nothing of them was cut short, or is not done.
            hint = "write `forwards:` and beneath it one name for each forward"
            self._wrong((0, 0), "there are no `forwards:` here", hint)
        found = top.get("forwards")
        if found is None:
            return {}
        if not isinstance(found, CommentedMap):
            hint = "write one name for each forward, and its settings beneath"
            self._wrong(top.lc.value("forwards"), "forwards is a mapping of names", hint)
            return {}
        if len(found) > MOST_FORWARDS:
            what = f"{len(found)} forwards are more than {MOST_FORWARDS}"
            self._wrong(top.lc.key("forwards"), what, "make several profiles of it")
            return {}
        forwards = {}
        for name, entry in found.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                self._wrong(
                    found.lc.key(name),
                    f"`{_one_line(str(name))}` cannot be a name",
                    "use letters, digits, dots, dashes and underscores",
                )
            elif not isinstance(entry, CommentedMap):
                hint = "write `target:` and `port:` beneath it, one on each line"
                self._wrong(found.lc.value(name), f"{name} is a mapping", hint)
            else:
                before = len(self._problems)
                values = self._fields(entry, _FORWARD)
                if len(self._problems) > before:
                    continue  # what else is wrong with it may follow from that
                forward = self._forward(name, values, given, profile, found.lc.key(name))
                if forward is not None:
                    forwards[name] = forward
        return forwards

    def _forward(
        self,
        name: str,
        values: dict[str, Any],
        given: Mapping[str, Any],
        profile: str,
        place: Place,
    ) -> ProfileForward | None:
        target, selector = values.get("target"), values.get("selector")
        if (target is None) == (selector is None):
            what = "has both a target and a selector" if target else "has no target"
            self._wrong(place, f"{name} {what}", "write one, for example `target: svc/web`")
            return None
        if "port" not in values:
            self._wrong(place, f"{name} has no port", "write it, for example `port: http`")
            return None
        local, remote = values["port"]
        if "local" in values:
            if local is not None:
                self._wrong(
                    place, f"{name} has two local ports", "leave one of them out: `local` or `port`"
                )
            local = values["local"]
        kind, object_name = target if target is not None else (TargetKind.SELECTOR, str(selector))
        if values.get("pin") and kind is not TargetKind.POD:
            self._wrong(place, f"{name} can be pinned to a pod only", "write `target: pod/NAME`")
        said = {field: values[key] for key, field in _SPEC.items() if key in values}
        spec = ForwardSpec(
            target=Target(
                context=values.get("context", given.get("context", "")),
                namespace=values.get("namespace", given.get("namespace", "")),
                kind=kind,
                name=object_name,
                port=remote,
                pin=values.get("pin", False),
            ),
            local_port=local,
            label=values.get("label", given.get("label", "")),
            name=name,
            profile=profile,
            **said,
        )
        needs, env = values.get("needs", ()), values.get("env", env_prefix(name))
        return ProfileForward(spec=spec, env=env, needs=needs)

    # What only shows when all of it is seen -------------------------------------------------

    def _check_needs(self, top: CommentedMap, forwards: Mapping[str, ProfileForward]) -> None:
        for name, forward in forwards.items():
            place = _key_place(top, name)
            for needed in forward.needs:
                if needed not in top["forwards"]:
                    near = difflib.get_close_matches(needed, forwards, 1)
                    hint = f"did you mean `{near[0]}`?" if near else ""
                    self._wrong(place, f"{name} needs `{needed}`, which is not here", hint)
        try:
            TopologicalSorter({name: one.needs for name, one in forwards.items()}).prepare()
        except CycleError as error:
            circle = error.args[1]  # each needs the one before it, the last is the first
            self._wrong(
                _key_place(top, circle[0]),
                f"{circle[0]} needs itself: {' → '.join(circle[::-1])}",
                "leave one of these needs out",
            )

    def _check_clashes(self, top: CommentedMap, forwards: Mapping[str, ProfileForward]) -> None:
        ports: dict[int, str] = {}
        names: dict[str, str] = {}
        for name, forward in forwards.items():
            place, port = _key_place(top, name), forward.spec.local_port
            if port and (other := ports.setdefault(port, name)) != name:
                hint = "give one of them another `local`"
                self._wrong(place, f"{name} wants local port {port}, as {other} does", hint)
            if (other := names.setdefault(forward.env, name)) != name:
                what = f"{name} and {other} would both be {forward.env}_PORT in the environment"
                self._wrong(place, what, "give one of them an `env` of its own")


def _key_place(top: CommentedMap, name: str) -> Place:
    place: Place = top["forwards"].lc.key(name)
    return place


def _name_of(file: Path, *, team: bool) -> str:
    """A profile without a name is called as its file is, or as the folder it belongs to."""
    raw = file.parent.name if team else file.stem
    return raw if _NAME.fullmatch(raw) else re.sub(r"[^A-Za-z0-9]+", "-", raw).strip("-") or "team"


# What values mean -------------------------------------------------------------------------

_Parser = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongError("must be a text", "put it in quotation marks")
    if not value or not value.isprintable():
        raise _WrongError("is empty, or has characters that cannot be shown")
    return str(value)


def _matching(pattern: re.Pattern[str], what: str, hint: str) -> _Parser:
    def parse(value: Any) -> str:
        text = _text(value)
        if not pattern.fullmatch(text):
            raise _WrongError(f'"{text}" cannot be {what}', hint)
        return text

    return parse


def _port(value: Any) -> tuple[int | None, str]:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _WrongError("must be a number or a name", "for example 5432 or http")
    pair = parse_port(str(value))
    return pair.local, pair.remote


def _local(value: Any) -> int:
    if value == "any":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise _WrongError(
            "must be a port from 1 to 65535, or any", "leave it out for the port's own"
        )
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongError("must be true or false")
    return bool(value)


def _transport(value: Any) -> TransportChoice:
    try:
        return TransportChoice(_text(value))
    except ValueError:
        known = ", ".join(TransportChoice)
        raise _WrongError(f'"{value}" is not a transport', f"it is one of {known}") from None


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, CommentedSeq) else [value]
    return tuple(dict.fromkeys(_text(item) for item in items))


_PROFILE: Final[Mapping[str, _Parser]] = {
    "version": lambda value: value,  # see `_version`
    "name": _matching(_NAME, "a name", "use letters, digits, dots, dashes and underscores"),
    "description": _text,
    "context": _text,
    "namespace": _matching(NAMESPACE, "a namespace", "lower-case letters, digits and dashes"),
    "label": _text,
    "forwards": lambda value: value,  # see `_forwards`
}
_FORWARD: Final[Mapping[str, _Parser]] = {
    "target": lambda value: parse_target(_text(value)),
    "selector": lambda value: validate_selector(_text(value)),
    "port": _port,
    "local": _local,
    "address": lambda value: parse_addresses(_texts(value)),
    "context": _text,
    "namespace": _PROFILE["namespace"],
    "transport": _transport,
    "pin": _flag,
    "queue_timeout": parse_duration_value,
    "half_close_timeout": parse_duration_value,
    "label": _text,
    "env": _matching(_ENV, "the beginning of a variable's name", "for example DB"),
    "needs": _texts,
}
# Settings that are fields of a spec as they are.
_SPEC: Final = {
    "address": "addresses",
    "transport": "transport",
    "queue_timeout": "queue_timeout_s",
    "half_close_timeout": "half_close_timeout_s",
}
