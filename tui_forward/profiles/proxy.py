"""The `proxy` key of a profile: a cluster proxy that is started and stopped with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.arguments import (
    format_duration_arg,
    parse_domain_value,
    parse_duration_value,
)
from tui_forward.common.user_folders import absolute_path, expand_home
from tui_forward.model import NO_OPTIONS, PROXY_PORT, ProxyInfo, ProxySpec
from tui_forward.profiles.values import (
    ValueParser,
    parse_flag_value,
    parse_local_port,
    parse_text,
)

ADDRESSES: Final = ("localhost",)  # that a proxy listens on

# All keys of the mapping but `namespace`, whose parser is that of the profile.
PROXY_KEYS: Final[Mapping[str, ValueParser]] = {
    "port": parse_local_port,
    "direct": parse_flag_value,
    "spread": parse_flag_value,
    "auth_file": parse_text,
    "domain": parse_domain_value,
    "idle_timeout": parse_duration_value,
}


def make_proxy_spec(
    values: Mapping[str, Any], defaults: Mapping[str, Any], file: Path, profile: str
) -> ProxySpec:
    """Return the spec of parsed values; `defaults` are the values of the profile itself.

    The path of the password file is relative to the folder of the profile.
    """
    fields = {key: values[key] for key in ("direct", "spread", "domain") if key in values}
    if "auth_file" in values:
        path = absolute_path(file.parent / expand_home(values["auth_file"]))
        fields["auth_file"] = str(path)
    if "idle_timeout" in values:
        fields["idle_timeout_s"] = values["idle_timeout"]
    return ProxySpec(
        context=defaults.get("context", ""),
        namespace=values.get("namespace", defaults.get("namespace", "")),
        options=defaults.get("access", NO_OPTIONS),
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
    return next((one for one in free if not describe_proxy_changes(one.spec, spec)), None)


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
    for field, label in _LABELS.items():
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
    usual = ProxySpec()
    if spec.domain != usual.domain:
        yield f"domain {spec.domain}"
    if spec.idle_timeout_s != usual.idle_timeout_s:
        yield f"idle timeout {format_duration_arg(spec.idle_timeout_s)}"
    if spec.options:
        yield f"access {describe_access_options(spec.options)}"


def _format_value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return format_duration_arg(value) if isinstance(value, float) else str(value) or "none"


_LABELS: Final = {
    "direct": "direct",
    "spread": "spread",
    "auth_file": "auth_file",
    "domain": "domain",
    "idle_timeout_s": "idle_timeout",
}
