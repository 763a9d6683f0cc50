"""Error handler for encodings without this program's symbols: ASCII in their place.

    text.encode("latin-1", REPLACE_SYMBOLS)

Each replacement is as wide as the symbol, so that columns stay aligned.
"""

from __future__ import annotations

import codecs
from typing import Final

REPLACE_SYMBOLS: Final = "tui_forward.ascii_symbols"

_SYMBOLS: Final = {
    **dict.fromkeys("─═━╍▔▀", "-"), **dict.fromkeys("│┃║╏▌▐▎▏▊▕", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰╔╗╚╝┏┓┗┛▛▜▙▟▖▗▘▝", "+"),
    **dict.fromkeys("▁▂▃", "_"), **dict.fromkeys("▄▅▆", "="), **dict.fromkeys("▇█", "#"),
    # States: ready, blocked, reconnecting, waiting, starting, stopped, paused.
    "●": "*", "■": "!", "◐": "~", "◔": "?", "◌": ".", "○": "-", "‖": "=",
    "╌": ".",
    "✓": "v", "✗": "x", "×": "x", "★": "*", "·": ".", "…": "~", "–": "-", "—": "-",
    "→": ">", "←": "<", "↑": "^", "↓": "v", "↻": "@", "▾": "v", "▼": "v", "▸": ">", "▲": "^",
    "⌫": "<", "❯": ">",
    "➜": ">", "≥": ">", "≤": "<", "µ": "u", "“": '"', "”": '"', "‘": "'", "’": "'",
}  # fmt: skip


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII for what could not be encoded, and where to continue."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SYMBOLS.get(letter, "?") for letter in lacking), error.end


codecs.register_error(REPLACE_SYMBOLS, _replace)
