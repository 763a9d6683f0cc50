"""An animated SVG of several screenshots of one size: what frames have in common is written once.

Viewers without animations, and users who want none, see the last frame.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

_ID: Final = re.compile(r"terminal-\d+")
_RULE: Final = re.compile(r"\.terminal-(r\d+) \{([^}]*)\}")
_CLASS: Final = re.compile(r'class="terminal-(r\d+)"')
_ELEMENT: Final = re.compile(r"<rect [^>]*/>|<text [^>]*>.*?</text>", re.DOTALL)
_MATRIX_START: Final = '<g transform="translate(9, 41)" clip-path="url(#terminal-clip-terminal)">'


def animate(frames: Sequence[str], seconds: Sequence[float]) -> str:
    """Return the frames as one SVG that shows each for its time, again and again.

    ValueError: the frames are not pictures of one size.
    """
    frames = [_ID.sub("terminal", frame) for frame in frames]
    styles: dict[str, str] = {}  # class by style
    backgrounds: dict[str, set[int]] = {}  # elements, and the frames that have them
    texts: dict[str, set[int]] = {}
    heads = set()
    for number, frame in enumerate(frames):
        head, body = _split(frame)
        heads.add(re.sub(r"<style>.*?</style>|<text .*?</text>", "", head, flags=re.DOTALL))
        names = {
            name: styles.setdefault(style.strip(), f"s{len(styles)}")
            for name, style in _RULE.findall(frame)
        }
        for element in _ELEMENT.findall(body):
            if 'width="0"' in element:
                continue
            renamed = _rename(element, names)
            layer = texts if element.startswith("<text") else backgrounds
            layer.setdefault(renamed, set()).add(number)
    if len(heads) != 1:
        raise ValueError("frames of different sizes")
    groups: dict[frozenset[int], str] = {}
    layers = "".join(_layer(layer, len(frames), groups) for layer in (backgrounds, texts))
    head, _ = _split(frames[-1])
    style = _RULE.sub("", head).replace("</style>", f"{_css(styles, groups, seconds)}</style>", 1)
    return f"{style}{layers}\n    </g>\n</svg>\n"


def _rename(element: str, names: Mapping[str, str]) -> str:
    """Return an element with another class."""
    return _CLASS.sub(lambda found: f'class="{names[found[1]]}"', element)


def _split(frame: str) -> tuple[str, str]:
    """Return the part before the content of the terminal, and the content."""
    head, start, body = frame.partition(_MATRIX_START)
    if not start:
        raise ValueError("no screenshot")
    return head + start, body


def _layer(elements: Mapping[str, set[int]], count: int, groups: dict[frozenset[int], str]) -> str:
    """Return elements in groups of those that the same frames have."""
    by_frames: dict[frozenset[int], list[str]] = {}
    for element, shown_in in elements.items():
        by_frames.setdefault(frozenset(shown_in), []).append(element)
    parts = []
    for numbers, content in by_frames.items():
        joined = "".join(content)
        if len(numbers) == count:
            parts.append(f"\n<g>{joined}</g>")
        else:
            name = groups.setdefault(numbers, f"f{len(groups)}")
            parts.append(f'\n<g class="{name}">{joined}</g>')
    return "".join(parts)


def _css(
    styles: Mapping[str, str], groups: Mapping[frozenset[int], str], seconds: Sequence[float]
) -> str:
    total, last = sum(seconds), len(seconds) - 1
    lines = [f".{name} {{ {style} }}" for style, name in styles.items()]
    for numbers, name in groups.items():
        lines.append(f".{name} {{ visibility: {_visibility(last in numbers)} }}")
        steps, at = [], 0.0
        for number, length in enumerate(seconds):
            steps.append(
                f"{100 * at / total:.4g}% {{ visibility: {_visibility(number in numbers)} }}"
            )
            at += length
        lines.append(f"@keyframes {name} {{ {' '.join(steps)} }}")
    lines.append("@media (prefers-reduced-motion: no-preference) {")
    lines += [
        f".{name} {{ animation: {name} {total:g}s step-end infinite }}" for name in groups.values()
    ]
    return "\n".join((*lines, "}", ""))


def _visibility(is_visible: bool) -> str:
    return "visible" if is_visible else "hidden"
