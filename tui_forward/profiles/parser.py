"""Parser of profiles; reports every problem with line and column.

Only known keys are interpreted: deeper nesting, tags and aliases have no effect, so that a
hostile file can neither run code nor keep the program busy.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.parser import RoundTripParser

from tui_forward.common.arguments import (
    parse_addresses,
    parse_balance,
    parse_duration_value,
    parse_preconnect,
    parse_preconnect_age,
    parse_target,
    share_address,
    validate_selector,
)
from tui_forward.common.bounded_yaml import YamlLimitError, YamlLimits
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    Balance,
    ForwardSpec,
    ProxySpec,
    Target,
    TargetKind,
)
from tui_forward.profiles.access import (
    ACCESS_KEYS,
    SECRET_KEYS,
    SERVER_KEYS,
    inherit_access,
    make_access_options,
)
from tui_forward.profiles.env_names import is_protected, variable_names
from tui_forward.profiles.profile import Profile, ProfileForward, env_prefix, profile_id
from tui_forward.profiles.proxy import ADDRESSES, PROXY_KEYS, make_proxy_spec
from tui_forward.profiles.values import (
    InvalidValueError,
    ValueParser,
    matching,
    parse_flag_value,
    parse_local_port,
    parse_port_value,
    parse_text,
    parse_texts,
    parse_transport,
)

VERSION: Final = 1
MAX_FILE_BYTES: Final = 256 * 1024
MAX_FORWARDS: Final = 500
# Keys and values. As many forwards as allowed may have 20 settings each, which few have.
MAX_NODES: Final = 40 * MAX_FORWARDS

NAMESPACE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
# Line breaks and unprintable characters in messages of the YAML library.
_CONTROL = re.compile(r"\s*\n\s*|[^\x20-\x7e\x80-\uffff]+")

Position = tuple[int, int]  # line and column, both from 0, as in ruamel.yaml


@dataclass(frozen=True, slots=True)
class ProfileProblem:
    """One problem of a profile."""

    file: Path
    line: int  # from 1
    column: int  # from 1
    message: str
    hint: str = ""  # a fix

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ProfileError(ConfigError):
    """A profile that cannot be used, with all problems, at least one."""

    def __init__(self, problems: Iterable[ProfileProblem]) -> None:
        self.problems = tuple(problems)
        first, more = self.problems[0], len(self.problems) - 1
        suffix = f" (and {more} more)" if more else ""
        super().__init__(f"{first}{suffix}", hint=first.hint)


def parse_profile(text: str, file: Path, *, team: bool = False, foreign: str = "") -> Profile:
    """Parse a profile; a ProfileError has every problem.

    `file` is for messages, and for the name if the text has none; `team` if it belongs to a working
    tree; `foreign` says why others may have written it (`ProfileContent.foreign`).
    """
    if team and not foreign:
        foreign = "it belongs to a working tree"
    return _Parser(file, team=team, foreign=foreign).parse(text)


def load_roundtrip(text: str, file: Path) -> CommentedMap:
    """Parse the YAML of a profile with its comments, to edit and serialize it."""
    reader = YAML(typ="rt")
    reader.Parser = _LimitedParser
    try:
        found = reader.load(text)
    except YamlLimitError as error:
        hint = "a profile needs neither deep nesting nor aliases of aliases"
        raise ProfileError(
            [ProfileProblem(file, error.line, error.column, error.problem, hint)]
        ) from error
    except MarkedYAMLError as error:
        raise ProfileError([_yaml_problem(error, file)]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        detail = _one_line(str(error)) or type(error).__name__
        raise ProfileError([ProfileProblem(file, 1, 1, f"this is not YAML: {detail}")]) from error
    if found is None:
        found = CommentedMap()
    if not isinstance(found, CommentedMap):
        hint = "write `forwards:` and below it one name for each forward"
        raise ProfileError([ProfileProblem(file, 1, 1, "a profile is a mapping", hint)])
    return found


def parse_access(mapping: CommentedMap, file: Path) -> AccessOptions:
    """Parse the key `access` of a profile or a forward; ProfileError if it is invalid."""
    return _Parser(file).parse_access(mapping)


def parse_inherited(mapping: CommentedMap, file: Path) -> dict[str, Any]:
    """Parse what a profile sets for all its forwards, by field of a spec; ProfileError."""
    return _Parser(file).parse_inherited(mapping)


def parse_proxy(top: CommentedMap, file: Path) -> ProxySpec | None:
    """Parse the proxy of a profile, None if it has none; ProfileError if it is invalid."""
    return _Parser(file).parse_proxy(top)


class _LimitedParser(RoundTripParser):
    """Parser whose events are counted before anything is built of them."""

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self._limits = YamlLimits(MAX_NODES)

    def get_event(self) -> Any:
        """Return the next event; YamlLimitError beyond the limits."""
        event = super().get_event()
        self._limits.add(event)
        return event


def _yaml_problem(error: MarkedYAMLError, file: Path) -> ProfileProblem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = _one_line(str(error.problem or error.context or "cannot be parsed"))
    if "duplicate key" in problem:
        return ProfileProblem(file, line, column, problem, "give each of them its own name")
    return ProfileProblem(
        file,
        line,
        column,
        f"this is not YAML: {problem}",
        "check the indentation, and unclosed quotation marks and brackets",
    )


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:300]


class _Parser:
    """Parser of one file; collects its problems."""

    def __init__(self, file: Path, *, team: bool = False, foreign: str = "") -> None:
        self._file = file
        self._team = team
        self._foreign = foreign
        self._problems: list[ProfileProblem] = []

    def parse(self, text: str) -> Profile:
        """Parse the text; see `parse_profile`."""
        top = load_roundtrip(text, self._file)
        self._check_version(top)
        defaults = self._parse_fields(top, _PROFILE)
        name = defaults.get("name", _name_of(self._file, team=self._team))
        profile = profile_id(name, self._file, team=self._team)
        forwards = self._parse_forwards(top, defaults, profile)
        self._check_needs(top, forwards)
        proxy = self._parse_proxy(top, defaults, profile)
        self._check_clashes(top, forwards)
        if proxy is not None:
            self._check_proxy_port(top, proxy, forwards)
        if self._problems:
            raise ProfileError(sorted(self._problems, key=lambda one: (one.line, one.column)))
        return Profile(
            name=name,
            file=self._file,
            team=self._team,
            description=defaults.get("description", ""),
            forwards=tuple(forwards.values()),
            proxy=proxy,
        )

    def parse_access(self, mapping: CommentedMap) -> AccessOptions:
        """Parse only the options of a profile or a forward; see the function of this name."""
        values: dict[str, AccessOptions] = {}
        self._parse_access(mapping, values)
        if self._problems:
            raise ProfileError(self._problems)
        return values["access"]

    def parse_inherited(self, mapping: CommentedMap) -> dict[str, Any]:
        """Parse only what forwards inherit; see the function of this name."""
        values: dict[str, Any] = {}
        for key in _INHERITED:
            if key in mapping:
                self._parse_value(mapping, key, _PROFILE[key], values)
        if self._problems:
            raise ProfileError(self._problems)
        return {_SPEC[key]: value for key, value in values.items()}

    def _add_problem(self, position: Position, message: str, hint: str = "") -> None:
        self._problems.append(
            ProfileProblem(self._file, position[0] + 1, position[1] + 1, message, hint)
        )

    def _check_version(self, top: CommentedMap) -> None:
        version = top.get("version", VERSION)
        if version == VERSION and not isinstance(version, bool):
            return
        newer = isinstance(version, int) and version > VERSION
        what = (
            f"version {version!r} is unknown"
            if not newer
            else f"the file has version {version}; this tui-forward supports up to {VERSION}"
        )
        self._add_problem(
            top.lc.value("version"), _one_line(what), "update tui-forward" if newer else ""
        )

    def _parse_fields(
        self, mapping: CommentedMap, known: Mapping[str, ValueParser],
        refused: Mapping[str, ValueParser] = {},
    ) -> dict[str, Any]:  # fmt: skip
        """Parse the values of a mapping; report and skip invalid ones.

        `access` becomes AccessOptions.
        """
        values: dict[str, Any] = {}
        for key in mapping:
            if key == "access" and key in known:
                self._parse_access(mapping, values)
                continue
            parser = known.get(key, refused.get(key)) if isinstance(key, str) else None
            if parser is None:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean `{near[0]}`?" if near else f"available: {', '.join(known)}"
                self._add_problem(mapping.lc.key(key), f"unknown key `{_one_line(str(key))}`", hint)
                continue
            self._parse_value(mapping, key, parser, values)
        return values

    def _parse_value(
        self, mapping: CommentedMap, key: str, parser: ValueParser, values: dict[str, Any]
    ) -> None:
        try:
            values[key] = parser(mapping[key])
        except (InvalidValueError, UsageError) as error:
            self._add_problem(mapping.lc.value(key), f"{key}: {error.message}", error.hint)

    def _parse_access(self, mapping: CommentedMap, values: dict[str, Any]) -> None:
        access, position = mapping["access"], mapping.lc.value("access")
        if not isinstance(access, CommentedMap):
            hint = "write kubectl's options below it, for example `as: NAME`"
            self._add_problem(position, "access must be a mapping", hint)
            return
        found = self._parse_fields(access, ACCESS_KEYS, SECRET_KEYS)
        for key in SERVER_KEYS & found.keys() if self._foreign else ():
            self._add_problem(
                access.lc.key(key),
                f"{key} decides who receives your credentials, and others may have written this "
                f"profile: {self._foreign}",
                "add it to a cluster of your kubeconfig, and name that with `cluster`",
            )
        try:
            values["access"] = make_access_options(found, self._file)
        except UsageError as error:
            self._add_problem(position, f"access: {error.message}", error.hint)

    def _parse_forwards(
        self, top: CommentedMap, defaults: Mapping[str, Any], profile: str
    ) -> dict[str, ProfileForward]:
        if "forwards" not in top and not self._problems:
            # `forwards:` may be empty but not missing: the file may be truncated or unfinished.
            hint = "write `forwards:` and below it one name for each forward"
            self._add_problem((0, 0), "`forwards:` is missing", hint)
        found = top.get("forwards")
        if found is None:
            return {}
        if not isinstance(found, CommentedMap):
            hint = "write one name for each forward, and its settings below"
            self._add_problem(top.lc.value("forwards"), "forwards must be a mapping of names", hint)
            return {}
        if len(found) > MAX_FORWARDS:
            what = f"{len(found)} forwards exceed the limit of {MAX_FORWARDS}"
            self._add_problem(top.lc.key("forwards"), what, "split it into several profiles")
            return {}
        forwards = {}
        for name, entry in found.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                self._add_problem(
                    found.lc.key(name),
                    f"`{_one_line(str(name))}` is not a valid name",
                    "use letters, digits, dots, dashes and underscores",
                )
            elif not isinstance(entry, CommentedMap):
                hint = "write `target:` and `port:` below it, one on each line"
                self._add_problem(found.lc.value(name), f"{name} must be a mapping", hint)
            else:
                before = len(self._problems)
                values = self._parse_fields(entry, _FORWARD)
                if len(self._problems) > before:
                    continue  # further problems may result from these
                forward = self._parse_forward(name, values, defaults, profile, found.lc.key(name))
                if forward is not None:
                    forwards[name] = forward
        return forwards

    def _parse_forward(
        self, name: str, values: dict[str, Any], defaults: Mapping[str, Any], profile: str,
        position: Position,
    ) -> ProfileForward | None:  # fmt: skip
        target, selector = values.get("target"), values.get("selector")
        if (target is None) == (selector is None):
            what = "has both a target and a selector" if target else "has no target"
            self._add_problem(
                position, f"{name} {what}", "specify one, for example `target: svc/web`"
            )
            return None
        if "port" not in values:
            self._add_problem(
                position, f"{name} has no port", "specify it, for example `port: http`"
            )
            return None
        local, remote = values["port"]
        if "local" in values:
            if local is not None:
                self._add_problem(
                    position, f"{name} has two local ports", "remove one: `local` or in `port`"
                )
            local = values["local"]
        kind, object_name = target if target is not None else (TargetKind.SELECTOR, str(selector))
        if values.get("pin") and kind is not TargetKind.POD:
            self._add_problem(
                position, f"{name} can only be pinned to a pod", "write `target: pod/NAME`"
            )
        balance = values.get("balance", Balance.ONE)
        if balance is Balance.SPREAD and kind is TargetKind.POD:
            self._add_problem(
                position,
                f"{name} cannot be spread over one pod",
                "write its service or workload as `target`, or remove `balance`",
            )
        default_context = defaults.get("context", "")
        context = values.get("context", default_context)
        access = values.get("access")
        if access is None:
            access = inherit_access(defaults.get("access", NO_OPTIONS), context, default_context)
        values = {key: defaults[key] for key in _INHERITED if key in defaults} | values
        settings = {field: values[key] for key, field in _SPEC.items() if key in values}
        spec = ForwardSpec(
            target=Target(
                context=context,
                namespace=values.get("namespace", defaults.get("namespace", "")),
                kind=kind,
                name=object_name,
                port=remote,
                pin=values.get("pin", False),
                balance=balance,
                options=access,
            ),
            local_port=local,
            name=name,
            profile=profile,
            **settings,
        )
        needs, env = values.get("needs", ()), values.get("env", env_prefix(name))
        for variable in filter(is_protected, variable_names(env)):
            self._add_problem(
                position,
                f"{name} would set {variable}, which other programs rely on",
                "set `env` to another prefix",
            )
        return ProfileForward(spec=spec, env=env, needs=needs)

    def parse_proxy(self, top: CommentedMap) -> ProxySpec | None:
        """Parse only the proxy of a profile; see the function of this name."""
        defaults: dict[str, Any] = {}
        for key in ("context", "namespace"):
            if key in top:
                self._parse_value(top, key, _PROFILE[key], defaults)
        if "access" in top:
            self._parse_access(top, defaults)
        proxy = self._parse_proxy(top, defaults, "")
        if self._problems:
            raise ProfileError(self._problems)
        return proxy

    def _parse_proxy(
        self, top: CommentedMap, defaults: Mapping[str, Any], profile: str
    ) -> ProxySpec | None:
        found = top.get("proxy")
        if "proxy" not in top:
            return None
        values: dict[str, Any]
        if isinstance(found, CommentedMap):
            values = self._parse_fields(found, _PROXY)
        else:
            values = {}
            self._parse_value(top, "proxy", parse_local_port, values)
            values = {"port": values["proxy"]} if values else {}
        return make_proxy_spec(values, defaults, self._file, profile)

    # Checks across forwards -----------------------------------------------------------------

    def _check_needs(self, top: CommentedMap, forwards: Mapping[str, ProfileForward]) -> None:
        for name, forward in forwards.items():
            position = _key_position(top, name)
            for needed in forward.needs:
                if needed not in top["forwards"]:
                    near = difflib.get_close_matches(needed, forwards, 1)
                    hint = f"did you mean `{near[0]}`?" if near else ""
                    self._add_problem(
                        position, f"{name} needs `{needed}`, which does not exist", hint
                    )
        try:
            TopologicalSorter({name: one.needs for name, one in forwards.items()}).prepare()
        except CycleError as error:
            cycle = error.args[1]  # each needs the previous one; the last equals the first
            self._add_problem(
                _key_position(top, cycle[0]),
                f"{cycle[0]} needs itself: {' → '.join(cycle[::-1])}",
                "remove one of these needs",
            )

    def _check_clashes(self, top: CommentedMap, forwards: Mapping[str, ProfileForward]) -> None:
        ports: dict[int, list[ForwardSpec]] = {}
        names: dict[str, str] = {}
        for name, forward in forwards.items():
            position, port = _key_position(top, name), forward.spec.local_port
            same_port = ports.setdefault(port, []) if port else []
            for other_spec in same_port:
                if share_address(other_spec.addresses, forward.spec.addresses):
                    what = f"{name} and {other_spec.name} have the same local port {port}"
                    hint = "change `local` or `address` of one of them"
                    self._add_problem(position, what, hint)
                    break
            same_port.append(forward.spec)
            if (other := names.setdefault(forward.env, name)) != name:
                what = f"{name} and {other} would both be {forward.env}_PORT in the environment"
                self._add_problem(position, what, "set `env` of one of them")

    def _check_proxy_port(
        self, top: CommentedMap, proxy: ProxySpec, forwards: Mapping[str, ProfileForward]
    ) -> None:
        for name, forward in forwards.items():
            spec = forward.spec
            if (
                proxy.port
                and spec.local_port == proxy.port
                and share_address(spec.addresses, ADDRESSES)
            ):
                what = f"{name} and the proxy have the same local port {proxy.port}"
                hint = "change `local` of the forward, or the port of the proxy"
                self._add_problem(_key_position(top, name), what, hint)


def _key_position(top: CommentedMap, name: str) -> Position:
    position: Position = top["forwards"].lc.key(name)
    return position


def _name_of(file: Path, *, team: bool) -> str:
    """Return the default name: that of the file, or of the folder of a team profile."""
    raw = file.parent.name if team else file.stem
    return raw if _NAME.fullmatch(raw) else re.sub(r"[^A-Za-z0-9]+", "-", raw).strip("-") or "team"


_PROFILE: Final[Mapping[str, ValueParser]] = {
    "version": lambda value: value,  # see `_check_version`
    "name": matching(_NAME, "a valid name", "use letters, digits, dots, dashes and underscores"),
    "description": parse_text,
    "context": parse_text,
    "namespace": matching(
        NAMESPACE, "a valid namespace name", "lower-case letters, digits and dashes"
    ),
    "label": parse_text,
    "preconnect": parse_preconnect,
    "preconnect_age": parse_preconnect_age,
    "access": lambda value: value,  # see `_parse_access`
    "proxy": lambda value: value,  # see `_parse_proxy`
    "forwards": lambda value: value,  # see `_parse_forwards`
}
_FORWARD: Final[Mapping[str, ValueParser]] = {
    "target": lambda value: parse_target(parse_text(value)),
    "selector": lambda value: validate_selector(parse_text(value)),
    "port": parse_port_value,
    "local": parse_local_port,
    "address": lambda value: parse_addresses(parse_texts(value)),
    "context": parse_text,
    "namespace": _PROFILE["namespace"],
    "transport": parse_transport,
    "pin": parse_flag_value,
    "balance": lambda value: parse_balance(parse_text(value)),
    "queue_timeout": parse_duration_value,
    "half_close_timeout": parse_duration_value,
    "preconnect": parse_preconnect,
    "preconnect_age": parse_preconnect_age,
    "label": parse_text,
    "access": _PROFILE["access"],
    "env": matching(_ENV, "a valid variable prefix", "for example DB"),
    "needs": parse_texts,
}
_PROXY: Final[Mapping[str, ValueParser]] = {
    **PROXY_KEYS, "namespace": _PROFILE["namespace"], "access": _PROFILE["access"],
}  # fmt: skip
# Settings that map directly to fields of a spec.
_SPEC: Final = {
    "address": "addresses",
    "transport": "transport",
    "queue_timeout": "queue_timeout_s",
    "half_close_timeout": "half_close_timeout_s",
    "preconnect": "preconnect",
    "preconnect_age": "preconnect_age_s",
    "label": "label",
}
# Those of a profile that hold for its forwards.
_INHERITED: Final = ("label", "preconnect", "preconnect_age")
