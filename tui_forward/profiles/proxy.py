"""The `proxy` key of a profile: a cluster proxy that is started and stopped with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.arguments import (
    format_duration_arg,
    parse_domain_value,
    parse_duration_value,
)
from tui_forward.common.user_folders import absolute_path, expand_home
from tui_forward.model import (
    BUILT_IN,
    NO_OPTIONS,
    PROXY_PORT,
    AccessOptions,
    ForwardSpec,
    ProxyInfo,
    ProxySpec,
    TransportChoice,
)
from tui_forward.profiles.access import format_access, inherit_access, why_unsaveable
from tui_forward.profiles.values import (
    ValueParser,
    parse_flag_value,
    parse_local_port,
    parse_text,
    parse_transport,
)

ADDRESSES: Final = ("localhost",)  # that a proxy listens on

# All keys of the mapping but `namespace` and `access`, whose parsers are those of the profile.
PROXY_KEYS: Final[Mapping[str, ValueParser]] = {
    "port": parse_local_port,
    "context": parse_text,
    "direct": parse_flag_value,
    "spread": parse_flag_value,
    "auth_file": parse_text,
    "domain": parse_domain_value,
    "strip_suffix": parse_flag_value,
    "idle_timeout": parse_duration_value,
    "queue_timeout": parse_duration_value,
    "half_close_timeout": parse_duration_value,
    "transport": parse_transport,
}
# Keys that map directly to fields of a spec.
_FIELDS: Final = {
    "direct": "direct",
    "spread": "spread",
    "auth_file": "auth_file",
    "domain": "domain",
    "strip_suffix": "strip_suffix",
    "idle_timeout": "idle_timeout_s",
    "queue_timeout": "queue_timeout_s",
    "half_close_timeout": "half_close_timeout_s",
    "transport": "transport",
}
_USUAL: Final = ProxySpec()


def make_proxy_spec(
    values: Mapping[str, Any], defaults: Mapping[str, Any], file: Path, profile: str
) -> ProxySpec:
    """Return the spec of parsed values; `defaults` are the values of the profile itself.

    The path of the password file is relative to the folder of the profile.
    """
    fields = {field: values[key] for key, field in _FIELDS.items() if key in values}
    if "auth_file" in fields:
        path = absolute_path(file.parent / expand_home(fields["auth_file"]))
        fields["auth_file"] = str(path)
    default_context = defaults.get("context", "")
    context = values.get("context", default_context)
    access = values.get("access")
    if access is None:
        access = inherit_access(defaults.get("access", NO_OPTIONS), context, default_context)
    return ProxySpec(
        context=context,
        namespace=values.get("namespace", defaults.get("namespace", "")),
        options=access,
        port=values.get("port", PROXY_PORT),
        profile=profile,
        **fields,
    )


def find_proxy(
    profile: str, spec: ProxySpec | None, proxies: Iterable[ProxyInfo]
) -> ProxyInfo | None:
    """Return the active proxy of a profile: started by it, or equal to `spec` and of no profile."""
    proxies = tuple(proxies)
    for one in proxies:
        if one.spec.profile == profile:
            return one
    if spec is None:
        return None
    free = (one for one in proxies if not one.spec.profile)
    return next((one for one in free if not describe_proxy_changes(bound_spec(one), spec)), None)


def bound_spec(proxy: ProxyInfo) -> ProxySpec:
    """Return the spec of a proxy with its actual local port."""
    port = proxy.listening[0].port if proxy.listening else proxy.spec.port
    return replace(proxy.spec, port=port)


def split_saveable_proxies(
    proxies: Iterable[ProxyInfo], forwards: Iterable[ForwardSpec]
) -> tuple[ProxyInfo | None, list[tuple[ProxyInfo, str]]]:
    """Return the proxy that a profile with these forwards can have, and the others with a reason.

    Preferred are one of their profile and one of their context.
    """
    forwards = tuple(forwards)
    profiles = {one.profile for one in forwards}
    contexts = {one.target.context for one in forwards}
    saved, others = None, []
    for proxy in sorted(
        proxies,
        key=lambda one: (one.spec.profile not in profiles, one.spec.context not in contexts),
    ):
        if why := why_proxy_unsaveable(proxy.spec):
            others.append((proxy, f"has {why}"))
        elif saved is None:
            saved = proxy
        else:
            others.append((proxy, "is one too many: a profile has one"))
    return saved, others


def why_proxy_unsaveable(spec: ProxySpec) -> str:
    """Return which settings cannot be in a file and why, "" if all can."""
    if not spec.auth_file.isprintable():
        return "a password file with unprintable characters in its path"
    return why_unsaveable(spec.options)


def format_proxy(
    spec: ProxySpec, common: Mapping[str, str], access: AccessOptions
) -> int | str | dict[str, Any]:
    """Return the value of `proxy` in a profile: a port, or a mapping if there is more.

    Args:
        spec: The proxy, without secrets.
        common: Context and namespace of the profile itself.
        access: Options of the profile itself.
    """
    port = spec.port or "any"
    values: dict[str, Any] = {"port": port}
    for key in ("context", "namespace"):
        value = getattr(spec, key)
        if value and value != common.get(key):
            values[key] = value
    if spec.options != inherit_access(access, spec.context, common.get("context", "")):
        values["access"] = format_access(spec.options)
    for key, field in _FIELDS.items():
        value = getattr(spec, field)
        if value != getattr(_USUAL, field):
            values[key] = _format_yaml(value)
    return values if len(values) > 1 else port


def _format_yaml(value: object) -> object:
    if isinstance(value, float):
        return format_duration_arg(value)
    return value if isinstance(value, bool) else str(value)


def describe_proxy_changes(before: ProxySpec, after: ProxySpec) -> list[str]:
    """Describe each difference; what the profile leaves open is never different."""
    changes = []
    for field in ("context", "namespace"):
        old, new = getattr(before, field), getattr(after, field)
        if new and new != old:
            changes.append(f"{field} {old} → {new}")
    if before.options != after.options:
        old, new = (describe_access_options(one.options) for one in (before, after))
        changes.append(f"access {old or 'none'} → {new or 'none'}")
    if after.port not in (0, before.port):
        changes.append(f"local port {before.port or 'any'} → {after.port}")
    for label, field in _FIELDS.items():
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            changes.append(f"{label} {_format_value(old)} → {_format_value(new)}")
    return changes


def proxy_details(spec: ProxySpec) -> Iterator[str]:
    """Yield what a proxy has that is not usual, and its local port, for the user."""
    yield f"port {spec.port}" if spec.port else "any free port"
    if spec.direct:
        yield "also connects to names outside the cluster"
    if not spec.spread:
        yield "uses one pod of a service"
    if spec.auth_file:
        yield f"reads the password of its clients from {spec.auth_file}"
    if spec.domain != _USUAL.domain:
        yield f"domain {spec.domain}"
    if spec.strip_suffix:
        yield "sends services the Host without .localhost"
    if spec.idle_timeout_s != _USUAL.idle_timeout_s:
        yield f"idle timeout {format_duration_arg(spec.idle_timeout_s)}"
    if spec.queue_timeout_s != BUILT_IN.queue_timeout_s:
        yield f"queue timeout {format_duration_arg(spec.queue_timeout_s)}"
    if spec.half_close_timeout_s != BUILT_IN.half_close_timeout_s:
        yield f"half-close timeout {format_duration_arg(spec.half_close_timeout_s)}"
    if spec.transport is not TransportChoice.AUTO:
        yield f"transport {spec.transport.value}"
    if spec.options:
        yield f"access {describe_access_options(spec.options)}"


def _format_value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return format_duration_arg(value) if isinstance(value, float) else str(value) or "none"
