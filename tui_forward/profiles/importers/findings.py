"""What a reader found in a text: forwards, and remarks about what is left out or differs.

A remark is a code with parameters; its text is derived here only. Lines count from 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from tui_forward.common.redaction import is_secret_name, redact
from tui_forward.model import ForwardSpec

_MAX_LENGTH: Final = 200  # of a quoted text


class RemarkCode(StrEnum):
    """What a remark is about."""

    # Left out
    INVALID = "invalid"
    VARIABLE = "variable"
    KUBECONFIG = "kubeconfig"
    SECRET_OPTION = "secret_option"
    OTHER_MACHINE = "other_machine"
    IN_COMMENT = "in_comment"
    NOT_TCP = "not_tcp"
    NOT_A_POD = "not_a_pod"
    NOT_AN_ENTRY = "not_an_entry"
    NOT_UNDERSTOOD = "not_understood"
    WHOLE_NAMESPACE = "whole_namespace"
    NO_PODS = "no_pods"
    NO_LABELS = "no_labels"
    PROFILE = "profile"
    REVERSE = "reverse"
    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    # Differences to check
    MENTION = "mention"
    TRAILING_TEXT = "trailing_text"
    ENVIRONMENT = "environment"
    ROOT = "root"
    PROGRAM = "program"
    POD_OF_SELECTOR = "pod_of_selector"
    CONTEXT_OF_LINE = "context_of_line"
    CONTAINER_PORT = "container_port"
    NAME_PREFIX = "name_prefix"
    LOCAL_PORT_TAKEN = "local_port_taken"
    OBJECT = "object"
    LIMIT = "limit"


NOTES: Final = frozenset({
    RemarkCode.MENTION, RemarkCode.TRAILING_TEXT, RemarkCode.ENVIRONMENT, RemarkCode.ROOT,
    RemarkCode.PROGRAM, RemarkCode.POD_OF_SELECTOR, RemarkCode.CONTEXT_OF_LINE,
    RemarkCode.CONTAINER_PORT, RemarkCode.NAME_PREFIX, RemarkCode.LOCAL_PORT_TAKEN,
    RemarkCode.LIMIT,
})  # fmt: skip


class Place(IntEnum):
    """Where a command stands. Only the first place that has any is imported from."""

    COMMAND = 0
    TEXT = 1  # a comment, printed text, or text that is written to a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A value that a command needs and that is not known."""

    name: str
    suggestion: str = ""  # what the text itself sets it to


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something that is left out, or that is imported with a difference."""

    code: RemarkCode
    line: int
    label: str = ""  # name of the entry
    value: str = ""  # what is written there
    detail: str = ""  # text of another part of the program
    hint: str = ""
    since: int = 0  # line that set the value
    variables: tuple[Variable, ...] = ()
    place: Place = Place.COMMAND

    @property
    def is_left_out(self) -> bool:
        """Whether something is not imported."""
        return self.code not in NOTES


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundForward:
    """A forward of the text."""

    line: int
    name: str
    spec: ForwardSpec
    remarks: tuple[Remark, ...] = ()  # differences to check
    place: Place = Place.COMMAND


@dataclass(slots=True)
class Findings:
    """All that one reader found."""

    forwards: list[FoundForward] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)  # that it has read, so that no other reader does

    def leave_out(self, code: RemarkCode, line: int, label: str = "", **more: str) -> None:
        """Add a remark."""
        self.remarks.append(Remark(code=code, line=line, label=label, **more))  # type: ignore[arg-type]

    def add(self, other: Findings) -> None:
        """Add what another reader found."""
        self.forwards += other.forwards
        self.remarks += other.remarks
        self.lines |= other.lines


_PASTE_HINTS: Final = {
    RemarkCode.VARIABLE: "write the value in its place",
    RemarkCode.KUBECONFIG: "start tui-forward with that kubeconfig",
}


class NotThisFormatError(Exception):
    """The text is not in the format of the reader; the message says what is missing."""


def describe_remark(remark: Remark, *, is_paste: bool = False) -> str:
    """Return a remark as one line: where, what, why, and what to do.

    `is_paste` is for text that can be edited at once, without options of a command.
    """
    where = f"line {remark.line}" + (f" ({_short(remark.label)})" if remark.label else "")
    prefix = "left out: " if remark.is_left_out else ""
    return f"{where}: {prefix}{describe_reason(remark, is_paste=is_paste)}"


def describe_reason(remark: Remark, *, is_paste: bool = False) -> str:
    """Return what a remark says about its line: what, why, and what to do."""
    hint = remark.hint or (_PASTE_HINTS.get(remark.code, "") if is_paste else _hint(remark))
    return _text(remark) + (f" → {hint}" if hint else "")


def _short(text: str) -> str:
    return redact(text, limit=_MAX_LENGTH)


def _text(remark: Remark) -> str:
    value, since = _short(remark.value), f", set in line {remark.since}" if remark.since else ""
    match remark.code:
        case RemarkCode.INVALID | RemarkCode.OBJECT | RemarkCode.LIMIT:
            return _short(remark.detail)
        case RemarkCode.VARIABLE:
            return f"needs a value for {_names(remark.variables)}"
        case RemarkCode.KUBECONFIG:
            return f"it has its own kubeconfig, {value}{since}"
        case RemarkCode.SECRET_OPTION:
            return f"it has a secret, {value}, which is never saved"
        case RemarkCode.OTHER_MACHINE:
            return f"{value} runs it on another machine or in a container"
        case RemarkCode.IN_COMMENT:
            return "it is in a comment or a text, and there are commands outside of those"
        case RemarkCode.NOT_TCP:
            return f"it is {value}; only TCP can be forwarded"
        case RemarkCode.NOT_A_POD:
            return f"{value} is not a forward to a pod"
        case RemarkCode.NOT_AN_ENTRY:
            return "it is not an entry with names and values"
        case RemarkCode.NOT_UNDERSTOOD:
            return f"the command cannot be read: {value}"
        case RemarkCode.WHOLE_NAMESPACE:
            return f"{value} forwards all services of a namespace"
        case RemarkCode.NO_PODS:
            return f"it has no pods of its own: {value}"
        case RemarkCode.NO_LABELS:
            return f"its pods are not chosen by labels ({value})"
        case RemarkCode.PROFILE:
            return f"it belongs to the profile {value}, which is not always active"
        case RemarkCode.REVERSE:
            return f"it forwards from the pod to this machine (port {value})"
        case RemarkCode.TOO_LONG:
            return f"the line is longer than {value} characters"
        case RemarkCode.TOO_MANY:
            return f"this and what follows: more than {value}"
        case RemarkCode.MENTION:
            return f"mentions port-forward, but is no command: {value}"
        case RemarkCode.TRAILING_TEXT:
            return f"what follows the ports is not part of it: {value}"
        case RemarkCode.ENVIRONMENT:
            return f"{value} is set for the command and is not kept"
        case RemarkCode.ROOT:
            return f"{value} uses the kubeconfig of another user; yours is used here"
        case RemarkCode.PROGRAM:
            return f"{value} is read as kubectl"
        case RemarkCode.POD_OF_SELECTOR:
            return f"{value} is replaced by the pods it selects"
        case RemarkCode.CONTEXT_OF_LINE:
            return f"{value}{since}"
        case RemarkCode.CONTAINER_PORT:
            return "in kftray this is the container port, here it is the service port"
        case RemarkCode.NAME_PREFIX:
            return f"in kportal {value} is the prefix of a name, here it is the full name"
        case RemarkCode.LOCAL_PORT_TAKEN:
            return f"{value}; any free port is used instead"


def _names(variables: Iterable[Variable]) -> str:
    return ", ".join(dict.fromkeys(_short(one.name) for one in variables))


def _hint(remark: Remark) -> str:
    match remark.code:
        case RemarkCode.VARIABLE:
            return " ".join(
                f"--set {one.name}={_suggestion(one) or 'VALUE'}"
                for one in remark.variables
                if one.name.replace(".", "").replace("_", "").isalnum()
            )
        case RemarkCode.KUBECONFIG:
            return "import it with KUBECONFIG set to that file"
        case RemarkCode.SECRET_OPTION:
            return "add it to a user or cluster of your kubeconfig, and name that in the command"
        case RemarkCode.WHOLE_NAMESPACE:
            return "try: kubectl get services -o json | tui-forward profile import -"
        case RemarkCode.IN_COMMENT:
            return "remove the comment sign to import it"
        case _:
            return ""


def _suggestion(variable: Variable) -> str:
    return "" if is_secret_name(variable.name) else _short(variable.suggestion)
