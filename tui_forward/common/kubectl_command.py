"""Arguments of commands parsed into forwards, and a forward formatted as a command line.

Pure. Parses the words of `kubectl port-forward` and of `tui-forward forward`. Words are found in
scripts, notes and pastes by `profiles.importers`.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Final

import msgspec

from tui_forward.common.access_options import format_options_for_shell, parse_access_options
from tui_forward.common.arguments import (
    format_duration_arg,
    parse_addresses,
    parse_balance,
    parse_duration_s,
    parse_ports,
    parse_preconnect,
    parse_preconnect_age,
    parse_target,
    validate_selector,
)
from tui_forward.common.kubectl_options import BOOL_FIELDS, VALUE_OPTIONS
from tui_forward.errors import UsageError
from tui_forward.model import (
    BUILT_IN,
    NO_CONTEXT,
    NO_OPTIONS,
    PRECONNECT_AGE_S,
    AccessOptions,
    Balance,
    ForwardDefaults,
    ForwardSpec,
    Target,
    TargetKind,
    TransportChoice,
)

_KUBECTL = frozenset({"kubectl", "kubectl.exe", "k", "oc", "microk8s.kubectl", "kubecolor"})
_OURS = "tui-forward"
_EXAMPLE = "for example: kubectl port-forward -n shop svc/web 8080:80"
# Of a line with commands; chains of dozens of them are shorter.
MAX_LINE_LENGTH: Final = 16 * 1024
# Options that do not affect what is forwarded, with a value.
_IGNORED_VALUES = frozenset(
    {"--pod-running-timeout", "--cache-dir", "-v", "--v", "--vmodule", "--log-flush-frequency",
     "--profile", "--profile-output", "--kuberc"}
)  # fmt: skip
# The same without a value, or with one behind `=`.
_IGNORED_FLAGS = frozenset({"--warnings-as-errors", "--match-server-version"})
# Options that change which cluster is reached, or who reaches it.
_ACCESS_VALUES = frozenset({"--kubeconfig", "-s", *(f"--{name}" for name in VALUE_OPTIONS)})
_ACCESS_FLAGS = frozenset(f"--{name}" for name in BOOL_FIELDS)
_VALUES = {
    "-n": "namespace", "--namespace": "namespace", "--context": "context",
    "--address": "address", "-l": "selector", "--selector": "selector", "--transport": "transport",
    "--queue-timeout": "queue_timeout", "--half-close-timeout": "half_close_timeout",
    "--preconnect": "preconnect", "--preconnect-age": "preconnect_age", "--balance": "balance",
}  # fmt: skip
# Options without a value.
_FLAGS = {"--pin": ("pin", "true"), "--spread": ("balance", Balance.SPREAD.value)}


class OtherKubeconfigError(UsageError):
    """The command has a kubeconfig that is not the one in use here."""

    def __init__(self, path: str) -> None:
        super().__init__(
            "the command has its own kubeconfig",
            hint="start tui-forward with that kubeconfig, or leave it out",
        )
        self.path = path


class _Line(msgspec.Struct):
    """Options and words of one command."""

    options: dict[str, list[str]] = msgspec.field(default_factory=dict)
    words: list[str] = msgspec.field(default_factory=list)
    access: dict[str, list[str]] = msgspec.field(default_factory=dict)  # for `parse_access_options`

    def last(self, name: str, default: str) -> str:
        """Return the last value of an option."""
        return self.options.get(name, [default])[-1]


def _preconnect_age_s(line: _Line) -> float:
    text = line.last("preconnect_age", "")
    return parse_preconnect_age(text) if text else PRECONNECT_AGE_S


def _access_of(line: _Line, default: AccessOptions) -> AccessOptions:
    if line.access:
        return parse_access_options(line.access)
    return NO_OPTIONS if "context" in line.options else default


def is_kubectl(program: str) -> bool:
    """Return whether a word of a shell is kubectl, a program like it, or tui-forward."""
    name = PurePath(program).name
    return name in _KUBECTL or name == _OURS


def parse_command(
    words: Sequence[str], *, context: str, namespace: str, bare: bool = False,
    options: AccessOptions = NO_OPTIONS, defaults: ForwardDefaults = BUILT_IN,
    is_own_kubeconfig: Callable[[str], bool] | None = None,
) -> tuple[ForwardSpec, ...]:  # fmt: skip
    """Return the forwards of one command, given as the words of a shell, one for each port.

    An empty namespace leaves it to the session. `bare` also accepts arguments without the command:
    ``svc/web 8080:80``. `options` are those of a command that names neither a context nor such
    options. `--kubeconfig` is accepted if `is_own_kubeconfig` returns true for it, else an
    OtherKubeconfigError. Raise UsageError if it is no such command or is invalid.
    """
    line = _parse_words(words, bare=bare, is_own_kubeconfig=is_own_kubeconfig)
    specs = _make_specs(line, context, namespace, defaults)
    access = _access_of(line, options)
    return tuple(
        msgspec.structs.replace(spec, target=msgspec.structs.replace(spec.target, options=access))
        for spec in specs
    )


def _parse_words(
    words: Sequence[str], *, bare: bool, is_own_kubeconfig: Callable[[str], bool] | None
) -> _Line:
    program = PurePath(words[0]).name if words else ""
    if bare and program not in _KUBECTL and program != _OURS:
        program = "kubectl"
        words = [program, *([] if words[:1] == ["port-forward"] else ["port-forward"]), *words]
    if program not in _KUBECTL and program != _OURS:
        shown = program or "this"
        raise UsageError(f'"{shown}" is not kubectl port-forward', hint=_EXAMPLE)
    verb = "forward" if program == _OURS else "port-forward"
    line = _Line()
    rest = deque(words[1:])
    while rest:
        word = rest.popleft()
        name, equals, value = word.partition("=")
        if word == "--":
            line.words += rest
            break
        if not word.startswith("-") or word == "-":
            line.words.append(word)
            continue
        short = name[:2]
        if not name.startswith("--") and len(name) > 2 and takes_value(short):
            name, value, equals = short, word[2:].removeprefix("="), "="  # -nshop
        if name in _ACCESS_FLAGS:
            line.access[name.removeprefix("--")] = [value if equals else "true"]
            continue
        if name in _IGNORED_FLAGS:
            continue
        if name in _FLAGS and not equals:
            option, value = _FLAGS[name]
            line.options.setdefault(option, []).append(value)
            continue
        if not takes_value(name):
            raise UsageError(f"{name} is not supported", hint=f"leave it out; {_EXAMPLE}")
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a value", hint=_EXAMPLE)
            value = rest.popleft()
        option = "server" if name == "-s" else name.removeprefix("--")
        if option in VALUE_OPTIONS:
            line.access.setdefault(option, []).append(value)
        elif name == "--kubeconfig":
            if is_own_kubeconfig is None or not is_own_kubeconfig(value):
                raise OtherKubeconfigError(value)
        elif name in _VALUES:
            line.options.setdefault(_VALUES[name], []).append(value)
    if line.words[:1] != [verb]:
        raise UsageError(f"the command is not {program} {verb}", hint=_EXAMPLE)
    del line.words[0]
    return line


def takes_value(option: str) -> bool:
    """Return whether an option of a command has a value, which may be the next word."""
    return option in _VALUES or option in _IGNORED_VALUES or option in _ACCESS_VALUES


def _make_specs(
    line: _Line, context: str, namespace: str, defaults: ForwardDefaults
) -> list[ForwardSpec]:
    words = line.words
    if "selector" in line.options:
        kind, name = TargetKind.SELECTOR, validate_selector(line.last("selector", ""))
    elif words:
        kind, name = parse_target(words[0])
        words = words[1:]
    else:
        raise UsageError("the command has no target", hint=_EXAMPLE)
    transport = line.last("transport", defaults.transport.value)
    try:
        chosen = TransportChoice(transport)
    except ValueError:
        choices = ", ".join(choice.value for choice in TransportChoice)
        raise UsageError(
            f'"{transport}" is not a transport', hint=f"use one of {choices}"
        ) from None
    options = line.options
    addresses = parse_addresses(options["address"]) if "address" in options else defaults.addresses

    def seconds(option: str, default: float) -> float:
        return parse_duration_s(options[option][-1]) if option in options else default

    return [
        ForwardSpec(
            target=Target(
                context=line.last("context", context),
                namespace=line.last("namespace", namespace),
                kind=kind,
                name=name,
                port=pair.remote,
                pin="pin" in options,
                balance=parse_balance(line.last("balance", Balance.ONE)),
            ),
            local_port=pair.local,
            addresses=addresses,
            transport=chosen,
            queue_timeout_s=seconds("queue_timeout", defaults.queue_timeout_s),
            half_close_timeout_s=seconds("half_close_timeout", defaults.half_close_timeout_s),
            preconnect=parse_preconnect(line.last("preconnect", "0")),
            preconnect_age_s=_preconnect_age_s(line),
        )
        for pair in parse_ports(words)
    ]


def format_command(spec: ForwardSpec, defaults: ForwardDefaults = BUILT_IN) -> str:
    """Return the command that starts the same forward.

    Elsewhere the built-in defaults apply, so an option that differs from them or from this user's
    is written. Secrets are variables of the shell ("$TOKEN").
    """
    target = spec.target
    words = [_OURS, "forward"]
    if target.context != NO_CONTEXT:
        words += ["--context", target.context]
    words += ["-n", target.namespace]
    # A target of a cluster proxy has no addresses; its command starts a forward of its own.
    if spec.addresses and not spec.addresses == defaults.addresses == BUILT_IN.addresses:
        words += ["--address", ",".join(spec.addresses)]
    if not spec.queue_timeout_s == defaults.queue_timeout_s == BUILT_IN.queue_timeout_s:
        words += ["--queue-timeout", format_duration_arg(spec.queue_timeout_s)]
    if (
        not spec.half_close_timeout_s
        == defaults.half_close_timeout_s
        == BUILT_IN.half_close_timeout_s
    ):
        words += ["--half-close-timeout", format_duration_arg(spec.half_close_timeout_s)]
    if spec.preconnect:
        words += ["--preconnect", str(spec.preconnect)]
        if spec.preconnect_age_s != PRECONNECT_AGE_S:
            words += ["--preconnect-age", format_duration_arg(spec.preconnect_age_s)]
    if target.pin:
        words.append("--pin")
    if target.balance is Balance.SPREAD:
        words.append("--spread")
    if spec.transport is not TransportChoice.AUTO:
        words += ["--transport", spec.transport.value]
    if target.kind is TargetKind.SELECTOR:
        words += ["-l", target.name]
    else:
        words.append(f"{target.kind.value}/{target.name}")
    local = "" if spec.local_port is None else "" if not spec.local_port else str(spec.local_port)
    words.append(target.port if spec.local_port is None else f"{local}:{target.port}")
    return " ".join([shlex.join(words), *format_options_for_shell(target.options)])
