"""Exporters of profiles: kubectl commands, a shell script, an .env file. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tui_forward.common.access_options import format_options_for_shell
from tui_forward.common.env_file import format_variable
from tui_forward.model import NO_CONTEXT, ForwardSpec, TargetKind
from tui_forward.profiles.env_names import variable_names
from tui_forward.profiles.profile import Profile, ProfileForward

_KINDS = {
    TargetKind.POD: "pod", TargetKind.SERVICE: "service", TargetKind.DEPLOYMENT: "deployment",
    TargetKind.STATEFULSET: "statefulset", TargetKind.DAEMONSET: "daemonset",
    TargetKind.REPLICASET: "replicaset", TargetKind.JOB: "job",
    TargetKind.REPLICATION_CONTROLLER: "replicationcontroller",
}  # fmt: skip


def format_kubectl_commands(profile: Profile) -> Iterator[str]:
    """Yield one command line per forward, in the order of their dependencies."""
    for one in profile.in_order():
        yield kubectl_line(one.spec)


def kubectl_line(spec: ForwardSpec) -> str:
    """Return the `kubectl port-forward` command; a selector is resolved by the shell."""
    target = spec.target
    command = ["kubectl", "port-forward"]
    scope: list[str] = []
    if target.context and target.context != NO_CONTEXT:
        scope += ["--context", target.context]
    if target.namespace:
        scope += ["--namespace", target.namespace]
    command += scope
    access = list(format_options_for_shell(target.options))
    if spec.addresses != ("localhost",):
        command += ["--address", ",".join(spec.addresses)]
    if target.kind is TargetKind.SELECTOR:
        # kubectl port-forward does not accept a selector.
        get = shlex.join(["kubectl", "get", "pod", *scope, "-l", target.name, "-o", "name"])
        query = " ".join([get, *access])
        target_arg = f'"$({query} | head -n 1)"'
    else:
        target_arg = shlex.quote(f"{_KINDS[target.kind]}/{target.name}")
    return " ".join([shlex.join(command), *access, target_arg, shlex.quote(_ports(spec))])


def _ports(spec: ForwardSpec) -> str:
    if spec.local_port is None:
        return spec.target.port
    return f"{spec.local_port or ''}:{spec.target.port}"


def format_shell_script(profile: Profile) -> str:
    """Return a shell script that runs all forwards until Ctrl-C."""
    lines = ["#!/bin/sh", f"# {profile.name}", "trap 'kill 0' EXIT"]
    lines += [f"{line} &" for line in format_kubectl_commands(profile)]
    return "\n".join([*lines, "wait", ""])


def format_env(profile: Profile) -> Iterator[str]:
    """Yield NAME=VALUE lines, quoted for a shell, for forwards with a fixed local port."""
    for one in profile.forwards:
        port = _fixed_port(one)
        if port is None:
            continue
        host = next((a for a in one.spec.addresses if a not in ("localhost", "0.0.0.0", "::")), "")
        host_name, port_name, _ = variable_names(one.env)
        yield format_variable(host_name, host or "127.0.0.1")
        yield format_variable(port_name, str(port))


def _fixed_port(one: ProfileForward) -> int | None:
    """Return the local port, if it is known before the forward starts."""
    if one.spec.local_port:
        return one.spec.local_port
    port = one.spec.target.port
    same = one.spec.local_port is None and port.isdecimal() and int(port) >= 1024
    return int(port) if same else None
