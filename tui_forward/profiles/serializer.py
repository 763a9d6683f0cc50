"""Serializer of profiles; keeps comments and order of an existing file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from tui_forward.common.arguments import format_duration_arg, is_loopback
from tui_forward.errors import UsageError
from tui_forward.model import (
    NO_OPTIONS,
    PRECONNECT_AGE_S,
    AccessOptions,
    Balance,
    ForwardSpec,
    ProxySpec,
    TargetKind,
)
from tui_forward.profiles.access import format_access, inherit_access, why_unsaveable
from tui_forward.profiles.env_names import allowed_prefix
from tui_forward.profiles.parser import (
    VERSION,
    load_roundtrip,
    parse_access,
    parse_inherited,
    parse_proxy,
)
from tui_forward.profiles.profile import env_prefix
from tui_forward.profiles.proxy import format_proxy, why_proxy_unsaveable

_NON_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME_LENGTH = 40
UNSAVEABLE_HINT: Final = (
    "add it to a user or cluster of your kubeconfig, and start the forward with --user or --cluster"
)
_DEFAULTS = {
    "addresses": ("localhost",),
    "transport": "auto",
    "queue_timeout_s": 30.0,
    "half_close_timeout_s": 5.0,
    "preconnect": 0,
    "preconnect_age_s": PRECONNECT_AGE_S,
    "label": "",
}
_KEYS = {
    "addresses": "address",
    "transport": "transport",
    "queue_timeout_s": "queue_timeout",
    "half_close_timeout_s": "half_close_timeout",
    "preconnect": "preconnect",
    "preconnect_age_s": "preconnect_age",
    "label": "label",
}


def serialize_profile(
    specs: Iterable[ForwardSpec], file: Path, before: str = "",
    proxy: ProxySpec | UnsetType | None = UNSET,
) -> str:  # fmt: skip
    """Return the text of a profile with these forwards; missing names are generated.

    Its proxy becomes `proxy`, or none if that is None; UNSET keeps that of the present content.

    Comments and order of `before`, the present content, are kept; ProfileError if it is invalid.
    `file` is for messages, and its folder for relative paths in `before`. UsageError for a forward
    that `split_saveable` leaves out, and a proxy that `split_saveable_proxies` leaves out.
    """
    specs = list(specs)
    if proxy and (why := why_proxy_unsaveable(proxy)):
        raise UsageError(f"the cluster proxy has {why}", hint=UNSAVEABLE_HINT)
    for spec in specs:
        if why := why_unsaveable(spec.target.options):
            # Without them, the profile would reach another cluster or be another user.
            raise UsageError(f"the forward to {spec.target} has {why}", hint=UNSAVEABLE_HINT)
    top = load_roundtrip(before, file)
    if not before.strip():
        top["version"] = VERSION
    # Common values go to the top level, unless the file already has others there.
    common: dict[str, str] = {}
    for key in ("context", "namespace"):
        values = {getattr(one.target, key) for one in specs}
        if proxy and not specs:
            values.add(getattr(proxy, key))
        if key in top:
            common[key] = str(top[key])
        elif len(values) == 1 and not before.strip() and (value := values.pop()):
            common[key] = top[key] = value
    access = _common_access(specs, top, file, is_new=not before.strip())
    if proxy is not UNSET:
        _set_proxy(top, file, proxy, common, access)
    usual = {**_DEFAULTS, **parse_inherited(top, file)}
    found = top.get("forwards")
    if not isinstance(found, CommentedMap):
        found = top["forwards"] = CommentedMap()
    named = _unique_names(specs)
    for name in [name for name in found if name not in named]:
        del found[name]
    for name, spec in named.items():
        entry = found.get(name)
        if not isinstance(entry, CommentedMap):
            entry = found[name] = CommentedMap()
        settings = _entry(spec, common, access) | _settings(spec, usual)
        has_access = "access" in entry and "access" in settings
        if has_access and parse_access(entry, file) == spec.target.options:
            settings["access"] = entry["access"]  # as the user wrote it
        _update_entry(entry, settings)
        prefix = env_prefix(name)
        if "env" not in entry and (allowed := allowed_prefix(prefix)) != prefix:
            entry["env"] = allowed
        if not all(map(is_loopback, spec.addresses)) and "address" not in entry.ca.items:
            entry.yaml_add_eol_comment("OPEN TO OTHER MACHINES", "address")
    out = StringIO()
    YAML(typ="rt").dump(top, out)
    return out.getvalue()


def split_saveable(
    specs: Iterable[ForwardSpec],
) -> tuple[list[ForwardSpec], list[tuple[ForwardSpec, str]]]:
    """Return the forwards that a profile can have, and the others, each with what it has.

    The others have options with a secret, which is never written. Forwards that a proxy has opened
    are neither: they come with the proxy.
    """
    saveable, others = [], []
    for spec in specs:
        if spec.proxy:
            continue
        if why := why_unsaveable(spec.target.options):
            others.append((spec, why))
        else:
            saveable.append(spec)
    return saveable, others


def _set_proxy(
    top: CommentedMap, file: Path, proxy: ProxySpec | None, common: Mapping[str, str],
    access: AccessOptions,
) -> None:  # fmt: skip
    """Write a proxy, or remove it; one that has not changed stays as the user wrote it."""
    if proxy is None:
        top.pop("proxy", None)
        return
    if parse_proxy(top, file) == replace(proxy, profile=""):
        return
    values, entry = format_proxy(proxy, common, access), top.get("proxy")
    if isinstance(values, dict) and isinstance(entry, CommentedMap):
        _update_entry(entry, values)
    else:
        top["proxy"] = values


def _common_access(
    specs: list[ForwardSpec], top: CommentedMap, file: Path, *, is_new: bool
) -> AccessOptions:
    """Return the options of the profile itself; those of all forwards if it is new."""
    if "access" in top:
        return parse_access(top, file)
    contexts = {one.target.context for one in specs}
    options = {one.target.options for one in specs}
    if is_new and len(contexts) == len(options) == 1 and (common := options.pop()):
        top["access"] = format_access(common)
        return common
    return NO_OPTIONS


def _update_entry(entry: CommentedMap, values: dict[str, Any]) -> None:
    preserved = {"needs", "env"}  # not part of a spec
    for key in [key for key in entry if key not in values and key not in preserved]:
        del entry[key]
    for key, value in values.items():
        if entry.get(key) != value:
            entry[key] = value


def _unique_names(specs: Iterable[ForwardSpec]) -> dict[str, ForwardSpec]:
    named: dict[str, ForwardSpec] = {}
    for spec in specs:
        target = spec.target
        raw = spec.name or _NON_NAME.sub("-", target.name).strip("._-")[:_MAX_NAME_LENGTH]
        base = name = raw.strip("._-") or "forward"
        if name in named:  # several ports of one target
            base = name = f"{name}-{_NON_NAME.sub('-', target.port)}"
        number = 2
        while name in named:
            name, number = f"{base}-{number}", number + 1
        named[name] = spec
    return named


def _entry(spec: ForwardSpec, common: dict[str, str], access: AccessOptions) -> dict[str, Any]:
    target = spec.target
    entry: dict[str, Any] = {}
    for key in ("context", "namespace"):
        value = getattr(target, key)
        if value and value != common.get(key):
            entry[key] = value
    if target.kind is TargetKind.SELECTOR:
        entry["selector"] = target.name
    else:
        entry["target"] = f"{target.kind.value}/{target.name}"
    entry["port"] = int(target.port) if target.port.isdecimal() else target.port
    if spec.local_port:
        entry["local"] = spec.local_port
    elif spec.local_port == 0:
        entry["local"] = "any"
    if target.pin:
        entry["pin"] = True
    if target.balance is not Balance.ONE:
        entry["balance"] = target.balance.value
    inherited = inherit_access(access, target.context, common.get("context", ""))
    if target.options != inherited:
        entry["access"] = format_access(target.options)
    return entry


def _settings(spec: ForwardSpec, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a forward has that is not usual in its profile."""
    settings: dict[str, Any] = {}
    for field, key in _KEYS.items():
        value = getattr(spec, field)
        if value == usual[field] or value == "":  # a label cannot be removed here
            continue
        if isinstance(value, tuple):
            settings[key] = value[0] if len(value) == 1 else list(value)
        elif isinstance(value, float):
            settings[key] = format_duration_arg(value)
        else:
            settings[key] = value if isinstance(value, int) else str(value)
    return settings
