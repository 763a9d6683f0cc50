"""Lists of services and ports: of kubefwd, and lines of arguments without a command. Pure.

kubefwd prints `Port-Forward: 127.1.27.1 web:80 to pod web-6d8c:8080` for each port; its command
forwards whole namespaces, which a profile cannot. Lines of arguments are `svc/web 8080:80 -n shop`.
"""

from __future__ import annotations

import re
from typing import Final

from tui_forward.common.arguments import parse_addresses, parse_port, parse_target
from tui_forward.errors import UsageError
from tui_forward.model import ForwardSpec, Target, TargetKind
from tui_forward.profiles.importers.command_reader import CommandOrigin, CommandReader, ReadOptions
from tui_forward.profiles.importers.command_text import MENTION
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    NotThisFormatError,
    RemarkCode,
)
from tui_forward.profiles.importers.shell_lexer import lex, literal_word
from tui_forward.profiles.importers.shell_scope import Scope
from tui_forward.profiles.importers.source_text import SourceText

_OUTPUT: Final = re.compile(
    r"Port-Forward:\s+(?P<address>[0-9A-Fa-f.:]+?)(?::(?P<local>\d+))?\s+(?P<name>[\w.-]+)"
    r":(?P<port>\d+)\s+to\s+pod\s"
)
_COMMAND: Final = re.compile(r"(?<![\w/-])kubefwd\s+(?:svc|services?)\b")
_ARGUMENTS: Final = re.compile(
    r"^(?:-n\s*\S+\s+|--namespace[= ]\S+\s+|--context[= ]\S+\s+)*"
    r"(?:svc|services?|po|pods?|deploy(?:ments?)?|sts|statefulsets?|ds|daemonsets?|rs|replicasets?"
    r"|jobs?)(?:\.[\w.]+)?/\S+\s+\S"
)
_MAX_LINE: Final = 2_000


def read_kubefwd(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of a list; NotThisFormatError if it has none."""
    findings, reader = Findings(), CommandReader(options, source.text)
    # Continuation lines of commands look like a list.
    has_commands = MENTION.search(source.text) is not None
    for number, line in enumerate(source.lines, 1):
        if len(line) > _MAX_LINE:
            continue
        if output := _OUTPUT.search(line):
            findings.lines.add(number)
            try:
                spec = _spec(output, options)
            except UsageError as error:
                findings.leave_out(RemarkCode.INVALID, number, detail=error.message)
            else:
                name = spec.target.name
                findings.forwards.append(FoundForward(line=number, name=name, spec=spec))
        elif command := _COMMAND.search(line):
            findings.lines.add(number)
            findings.leave_out(RemarkCode.WHOLE_NAMESPACE, number, value=command[0])
        elif not has_commands and _ARGUMENTS.match(line.strip()):
            findings.lines.add(number)
            words = next(iter(lex(line.strip()).commands), [])
            command_words = [literal_word("kubectl"), literal_word("port-forward"), *words]
            origin = CommandOrigin(line=number)
            findings.add(reader.read(command_words, 0, Scope(), origin))
    if not (findings.forwards or findings.remarks):
        raise NotThisFormatError("no line is `KIND/NAME PORT…` or output of kubefwd")
    return findings


def _spec(output: re.Match[str], options: ReadOptions) -> ForwardSpec:
    name, _, rest = output["name"].partition(".")
    kind, service = parse_target(f"svc/{name}")
    pair = parse_port(f"{output['local'] or output['port']}:{output['port']}")
    return ForwardSpec(
        target=Target(
            context=options.context, namespace=rest.partition(".")[0] or options.namespace,
            kind=kind if kind is not TargetKind.POD else TargetKind.SERVICE, name=service,
            port=pair.remote,
        ),
        local_port=pair.local,
        addresses=parse_addresses([output["address"]]),
    )  # fmt: skip
