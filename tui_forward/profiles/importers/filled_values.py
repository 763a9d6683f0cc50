"""Values of configuration files, whose placeholders (`${NS}`, `{{.NS}}`) are filled in. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tui_forward.profiles.importers.findings import Findings, Remark, RemarkCode, Variable
from tui_forward.profiles.importers.located_values import Node
from tui_forward.profiles.importers.shell_lexer import literal_word


class MissingValueError(Exception):
    """A placeholder has no value."""

    def __init__(self, variables: tuple[Variable, ...]) -> None:
        super().__init__()
        self.variables = variables


class FilledValues:
    """Fields of a mapping as text, with the known values of variables."""

    def __init__(self, node: Node, values: Mapping[str, str]) -> None:
        self._node = node
        self._values = values

    def text(self, key: str, default: str = "") -> str:
        """Return a field as text; MissingValueError if a placeholder in it has no value."""
        return self.fill_in(self._node.text(key)) or default

    def fill_in(self, text: str) -> str:
        """Return a text without placeholders; MissingValueError if one has no value."""
        value, missing = literal_word(text).expand(
            lambda one: self._values.get(one.name, self._values.get(one.raw, one.default))
        )
        if missing:
            names = dict.fromkeys(one.name for one in missing)
            raise MissingValueError(tuple(Variable(name=name) for name in names))
        return value


def leave_out_variable(findings: Findings, error: MissingValueError, line: int, label: str) -> None:
    """Add the remark that an entry needs values."""
    findings.remarks.append(
        Remark(code=RemarkCode.VARIABLE, line=line, label=label, variables=error.variables)
    )
