"""Whole command lines: what somebody pastes becomes forwards, and a forward becomes a line.

Pure. Understands `kubectl port-forward` as people have it in their notes and scripts, with
prompts, line continuations, environment variables in front, several lines at once; and
`tui-forward forward`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePath

from tui_forward.common.arguments import (
    format_duration_arg,
    parse_addresses,
    parse_duration_s,
    parse_ports,
    parse_target,
    validate_selector,
)
from tui_forward.errors import UsageError
from tui_forward.model import (
    BUILT_IN,
    ForwardDefaults,
    ForwardSpec,
    Target,
    TargetKind,
    TransportChoice,
)

_KUBECTL = frozenset({"kubectl", "kubectl.exe", "k", "oc", "microk8s.kubectl", "kubecolor"})
_OURS = "tui-forward"
_EXAMPLE = "for example: kubectl port-forward -n shop svc/web 8080:80"
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_PROMPT = re.compile(r"^\s*(?:\$|>|%|❯|➜)\s+", re.MULTILINE)
_REDIRECTED = re.compile(r"\s\d?(?:&>|>>?)\s*(?:&\d|[^\s;&|]+)")
_CONTINUED = re.compile(r"\\\r?\n\s*")
_COMMANDS = re.compile(r"port-forward|tui-forward\s+forward")
# Options that have no say in what is forwarded.
_IGNORED_VALUES = frozenset(
    {"--pod-running-timeout", "--request-timeout", "--cache-dir", "-v", "--v",
     "--warnings-as-errors"}
)  # fmt: skip
_VALUES = {
    "-n": "namespace", "--namespace": "namespace", "--context": "context",
    "--address": "address", "-l": "selector", "--selector": "selector", "--transport": "transport",
    "--queue-timeout": "queue_timeout", "--half-close-timeout": "half_close_timeout",
}  # fmt: skip


@dataclass
class _Line:
    """One command, word by word."""

    options: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def last(self, name: str, default: str) -> str:
        """The last value of an option, as command lines have it."""
        return self.options.get(name, [default])[-1]


def is_forward_command(text: str) -> bool:
    """Whether it is worth trying `parse_lines` on something that was pasted."""
    return bool(_COMMANDS.search(text))


def parse_commands(
    text: str,
    *,
    context: str,
    namespace: str,
    bare: bool = False,
    defaults: ForwardDefaults = BUILT_IN,
) -> tuple[ForwardSpec, ...]:
    """Every forward that some lines ask for, one for each port.

    Args:
        text: One command or several, as typed into a shell.
        context: Where a line names none.
        namespace: Likewise; empty leaves it to the session.
        bare: What follows the command is enough: ``svc/web 8080:80``.
        defaults: For what a line does not say.

    Raises:
        UsageError: A line is no such command, or cannot be understood.
    """
    joined = _PROMPT.sub("", _CONTINUED.sub(" ", text))
    specs: list[ForwardSpec] = []
    for line in joined.splitlines():
        for command in _commands(_REDIRECTED.sub("", line)):
            specs += _specs(_taken_apart(command, bare=bare), context, namespace, defaults)
    if not specs:
        raise UsageError("there is no command here", hint=_EXAMPLE)
    return tuple(specs)


def _commands(line: str) -> list[list[str]]:
    """The words of each command of a line: `a & b`, `a; b`, `a && b`."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        words = list(lexer)
    except ValueError as error:
        raise UsageError("a quotation mark is not closed", hint=_EXAMPLE) from error
    commands: list[list[str]] = [[]]
    for word in words:
        if word and not word.strip(";&|"):
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def _taken_apart(words: list[str], *, bare: bool) -> _Line:
    while words and (_ENVIRONMENT.fullmatch(words[0]) or words[0] in ("sudo", "nohup", "exec")):
        if words[0].startswith("KUBECONFIG="):
            raise _another_kubeconfig()
        words = words[1:]
    program = PurePath(words[0]).name if words else ""
    if bare and program not in _KUBECTL and program != _OURS:
        program = "kubectl"
        words = [program, *([] if words[:1] == ["port-forward"] else ["port-forward"]), *words]
    if program not in _KUBECTL and program != _OURS:
        shown = program or "this"
        raise UsageError(f'"{shown}" is not kubectl port-forward', hint=_EXAMPLE)
    verb = "forward" if program == _OURS else "port-forward"
    line = _Line()
    rest = words[1:]
    while rest:
        word, *rest = rest
        name, equals, value = word.partition("=")
        if word == "--":
            line.words += rest
            break
        if not word.startswith("-") or word == "-":
            line.words.append(word)
            continue
        short = name[:2]
        if not name.startswith("--") and len(name) > 2 and short in _VALUES:
            name, value, equals = short, word[2:].removeprefix("="), "="  # -nshop
        if name == "--kubeconfig":
            raise _another_kubeconfig()
        if name not in _VALUES and name not in _IGNORED_VALUES:
            raise UsageError(f"{name} is not known here", hint=f"leave it out; {_EXAMPLE}")
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a value", hint=_EXAMPLE)
            value, *rest = rest
        if name in _VALUES:
            line.options.setdefault(_VALUES[name], []).append(value)
    if line.words[:1] != [verb]:
        raise UsageError(f"the line does not say {program} {verb}", hint=_EXAMPLE)
    del line.words[0]
    return line


def _another_kubeconfig() -> UsageError:
    return UsageError(
        "the line names a kubeconfig of its own",
        hint="start tui-forward with that kubeconfig, or leave it out",
    )


def _specs(
    line: _Line, context: str, namespace: str, defaults: ForwardDefaults
) -> list[ForwardSpec]:
    words = line.words
    if "selector" in line.options:
        kind, name = TargetKind.SELECTOR, validate_selector(line.last("selector", ""))
    elif words:
        kind, name = parse_target(words[0])
        words = words[1:]
    else:
        raise UsageError("the line names nothing to forward to", hint=_EXAMPLE)
    transport = line.last("transport", TransportChoice.AUTO.value)
    try:
        chosen = TransportChoice(transport)
    except ValueError:
        choices = ", ".join(choice.value for choice in TransportChoice)
        raise UsageError(
            f'"{transport}" is not a transport', hint=f"it is one of {choices}"
        ) from None
    said = line.options
    addresses = parse_addresses(said["address"]) if "address" in said else defaults.addresses
    queue_timeout_s = (
        parse_duration_s(said["queue_timeout"][-1])
        if "queue_timeout" in said
        else defaults.queue_timeout_s
    )
    half_close_timeout_s = (
        parse_duration_s(said["half_close_timeout"][-1])
        if "half_close_timeout" in said
        else defaults.half_close_timeout_s
    )
    return [
        ForwardSpec(
            target=Target(
                context=line.last("context", context),
                namespace=line.last("namespace", namespace),
                kind=kind,
                name=name,
                port=pair.remote,
            ),
            local_port=pair.local,
            addresses=addresses,
            transport=chosen,
            queue_timeout_s=queue_timeout_s,
            half_close_timeout_s=half_close_timeout_s,
        )
        for pair in parse_ports(words)
    ]


def format_command(spec: ForwardSpec, defaults: ForwardDefaults = BUILT_IN) -> str:
    """The command that makes the same forward, to copy into a script or a colleague's chat.

    Args:
        spec: The forward.
        defaults: Of whoever may type it here. Elsewhere those of the program count, so whatever
            differs from one of them is said.
    """
    target = spec.target
    words = [_OURS, "forward", "--context", target.context, "-n", target.namespace]
    if not spec.addresses == defaults.addresses == BUILT_IN.addresses:
        words += ["--address", ",".join(spec.addresses)]
    if not spec.queue_timeout_s == defaults.queue_timeout_s == BUILT_IN.queue_timeout_s:
        words += ["--queue-timeout", format_duration_arg(spec.queue_timeout_s)]
    if (
        not spec.half_close_timeout_s
        == defaults.half_close_timeout_s
        == BUILT_IN.half_close_timeout_s
    ):
        words += ["--half-close-timeout", format_duration_arg(spec.half_close_timeout_s)]
    if spec.transport is not TransportChoice.AUTO:
        words += ["--transport", spec.transport.value]
    if target.kind is TargetKind.SELECTOR:
        words += ["-l", target.name]
    else:
        words.append(f"{target.kind.value}/{target.name}")
    local = "" if spec.local_port is None else "" if not spec.local_port else str(spec.local_port)
    words.append(target.port if spec.local_port is None else f"{local}:{target.port}")
    return shlex.join(words)
