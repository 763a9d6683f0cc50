"""Everything a profile can change, as lines for the user. Pure.

A profile cannot choose the kubeconfig, run a command or change settings; one that others
may write cannot choose a server that is not in the kubeconfig.
"""

from __future__ import annotations

from collections.abc import Iterator

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.arguments import format_duration_arg, is_loopback
from tui_forward.common.printable import escape_unprintable
from tui_forward.model import (
    BUILT_IN,
    PRECONNECT_AGE_S,
    AccessOptions,
    Balance,
    ForwardSpec,
    TransportChoice,
)
from tui_forward.profiles.env_names import variable_names
from tui_forward.profiles.profile import Profile, ProfileForward
from tui_forward.profiles.proxy import proxy_details

_MAX_VALUE = 200  # characters of a value; a longer one would move others off the screen


def describe_forwards(profile: Profile) -> list[str]:
    """Return two lines for each forward and for the proxy, the second one indented.

    None has control characters.
    """
    lines = []
    if profile.proxy is not None:
        spec = profile.proxy
        lines.append(
            f"proxy: every service and pod in {_or(spec.context, 'the current context')}, "
            f"{_or(spec.namespace, 'its default namespace', 'namespace ')}"
        )
        lines.append(f"  {'; '.join(map(_short, proxy_details(spec)))}")
    for one in profile.forwards:
        target = one.spec.target
        what = str(target).partition("/")[2]
        lines.append(
            f"{one.name}: {_short(what)} in {_or(target.context, 'the current context')}, "
            f"{_or(target.namespace, 'its default namespace', 'namespace ')}"
        )
        lines.append(f"  {'; '.join(_details(one))}")
    return lines


def describe_exposure(profile: Profile) -> list[str]:
    """Return a line for each risk: what other machines can reach, who may get credentials."""
    lines = [f"{one.name} {risk}" for one in profile.forwards for risk in _risks(one.spec)]
    if profile.proxy is not None:
        lines += [f"proxy {risk}" for risk in _access_risks(profile.proxy.options)]
    return lines


def _risks(spec: ForwardSpec) -> Iterator[str]:
    if exposed := exposed_addresses(spec):
        yield f"is OPEN TO OTHER MACHINES on {', '.join(exposed)}"
    yield from _access_risks(spec.target.options)


def _access_risks(options: AccessOptions) -> Iterator[str]:
    if options.server:
        yield f"SENDS YOUR CREDENTIALS to {_short(options.server)}"
    if options.insecure:
        yield "DOES NOT VERIFY THE CERTIFICATE of the API server"


def exposed_addresses(spec: ForwardSpec) -> list[str]:
    """Return the local addresses of a forward that other machines can reach."""
    return [address for address in spec.addresses if not is_loopback(address)]


def _details(one: ProfileForward) -> Iterator[str]:
    spec = one.spec
    local = {None: "its port or the next free one", 0: "any free port"}.get(
        spec.local_port, f"port {spec.local_port}"
    )
    yield f"{local} on {', '.join(spec.addresses)}"
    if exposed := exposed_addresses(spec):
        yield f"OPEN TO OTHER MACHINES on {', '.join(exposed)}"
    yield f"sets {', '.join(variable_names(one.env))}"
    if spec.target.options:
        yield f"access {_short(describe_access_options(spec.target.options))}"
    if spec.target.pin:
        yield "pinned to this pod"
    if spec.target.balance is Balance.SPREAD:
        yield "spreads connections over all Ready pods"
    if spec.transport is not TransportChoice.AUTO:
        yield f"transport {spec.transport.value}"
    if spec.queue_timeout_s != BUILT_IN.queue_timeout_s:
        yield f"queue timeout {format_duration_arg(spec.queue_timeout_s)}"
    if spec.half_close_timeout_s != BUILT_IN.half_close_timeout_s:
        yield f"half-close timeout {format_duration_arg(spec.half_close_timeout_s)}"
    if spec.preconnect:
        yield f"opens {spec.preconnect} connections ahead"
    if spec.preconnect_age_s != PRECONNECT_AGE_S:
        yield f"keeps those {format_duration_arg(spec.preconnect_age_s)} at most"
    if spec.label:
        yield f"label {_short(spec.label)}"
    if one.needs:
        yield f"needs {_short(', '.join(one.needs))}"


def _or(value: str, default: str, prefix: str = "context ") -> str:
    return f"{prefix}{_short(value)}" if value else default


def _short(text: str) -> str:
    text = escape_unprintable(text)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"
