"""The table of faults in ARCHITECTURE.md.

python -m tests.session.doctor.matrix     # writes it again
"""

from __future__ import annotations

from pathlib import Path

from tests.session.doctor.faults import FAULTS
from tests.session.doctor.kubectl_words import WAITS, WORKS, load_words
from tui_forward.common.doctor_text import HOP_NAMES

DOCUMENT = Path(__file__).resolve().parents[3] / "ARCHITECTURE.md"
START, END = "<!-- faults: generated -->", "<!-- end of faults -->"
_PLAIN = {WAITS: "*nothing, and waits*", WORKS: "*works*"}
_MAX_TEXT = 150


def _cell(text: str) -> str:
    text = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1].rstrip() + "…"
    return text.replace("|", "\\|").replace("<", "&lt;")


def table() -> str:
    """Return the table, a row for each fault in the order of the hops."""
    words = load_words()
    lines = ["", "| fault | kubectl says | hop | doctor says |", "|---|---|---|---|"]
    for fault in FAULTS:
        spoken = words[fault.name]
        kubectl = _PLAIN.get(spoken, _cell(spoken))
        mark = " (note)" if fault.is_note else ""
        lines.append(
            f"| {fault.name} | {kubectl} | {HOP_NAMES[fault.hop]}{mark} | "
            f"`{fault.code.value}` {_cell(fault.says)} |"
        )
    return "\n".join([*lines, ""]) + "\n"


def split_document() -> tuple[str, str, str]:
    """Return what is before, in and behind the generated part."""
    before, _, rest = DOCUMENT.read_text("utf-8").partition(START)
    inside, _, after = rest.partition(END)
    return before + START, inside, END + after


def main() -> None:
    """Write the table."""
    before, _, after = split_document()
    DOCUMENT.write_text(f"{before}\n{table()}{after}", "utf-8")


if __name__ == "__main__":
    main()
