"""A profile for those who do not have this program: kubectl lines, a script, an .env file. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tui_forward.model import ForwardSpec, TargetKind
from tui_forward.profiles.profile import Profile, ProfileForward

_KINDS = {
    TargetKind.POD: "pod", TargetKind.SERVICE: "service", TargetKind.DEPLOYMENT: "deployment",
    TargetKind.STATEFULSET: "statefulset", TargetKind.DAEMONSET: "daemonset",
    TargetKind.REPLICASET: "replicaset", TargetKind.JOB: "job",
}  # fmt: skip


def format_kubectl_commands(profile: Profile) -> Iterator[str]:
    """A line for each forward, in the order in which they need each other."""
    for one in profile.in_order():
        yield kubectl_line(one.spec)


def kubectl_line(spec: ForwardSpec) -> str:
    """`kubectl port-forward` for one forward. A selector is looked up in the shell."""
    target = spec.target
    words = ["kubectl", "port-forward"]
    where: list[str] = []
    if target.context:
        where += ["--context", target.context]
    if target.namespace:
        where += ["--namespace", target.namespace]
    words += where
    if spec.addresses != ("localhost",):
        words += ["--address", ",".join(spec.addresses)]
    if target.kind is TargetKind.SELECTOR:
        # kubectl takes no selector here.
        found = shlex.join(["kubectl", "get", "pod", *where, "-l", target.name, "-o", "name"])
        what = f'"$({found} | head -n 1)"'
    else:
        what = shlex.quote(f"{_KINDS[target.kind]}/{target.name}")
    return f"{shlex.join(words)} {what} {shlex.quote(_ports(spec))}"


def _ports(spec: ForwardSpec) -> str:
    if spec.local_port is None:
        return spec.target.port
    return f"{spec.local_port or ''}:{spec.target.port}"


def format_shell_script(profile: Profile) -> str:
    """A shell script that forwards it all until Ctrl-C."""
    lines = ["#!/bin/sh", f"# {profile.name}", "trap 'kill 0' EXIT"]
    lines += [f"{line} &" for line in format_kubectl_commands(profile)]
    return "\n".join([*lines, "wait", ""])


def format_env(profile: Profile) -> Iterator[str]:
    """NAME=VALUE lines, for forwards whose local port is fixed."""
    for one in profile.forwards:
        port = _fixed(one)
        if port is None:
            continue
        host = next((a for a in one.spec.addresses if a not in ("localhost", "0.0.0.0", "::")), "")
        yield f"{one.env}_HOST={host or '127.0.0.1'}"
        yield f"{one.env}_PORT={port}"


def _fixed(one: ProfileForward) -> int | None:
    """The local port, if it is known before the forward is on."""
    if one.spec.local_port:
        return one.spec.local_port
    port = one.spec.target.port
    same = one.spec.local_port is None and port.isdecimal() and int(port) >= 1024
    return int(port) if same else None
