"""Hostile YAML of a few bytes to a few hundred kilobytes, by name."""

from __future__ import annotations

# Far more than a file takes even on a busy machine, far less than without limits.
MAX_CPU_S = 15.0


def _billion_laughs(start: str, levels: int = 12) -> str:
    lines = [f"l0: &l0 {start}"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def _merge_tree(levels: int = 12) -> str:
    lines = ["l0: &l0 {a: 1}"]
    for n in range(1, levels):
        merged = ", ".join([f"*l{n - 1}"] * 9)
        lines.append(f"l{n}: &l{n}\n  <<: [{merged}]\n  k{n}: 1")
    return "\n".join(lines)


def _merge_chain(length: int = 2_000) -> str:
    lines = ["l0: &l0 {a: 1}"]
    lines += [f"l{n}: &l{n}\n  <<: *l{n - 1}\n  k{n}: 1" for n in range(1, length)]
    return "\n".join(lines)


# Limits that the tests set, to be short.
MAX_NODES = 20_000
# Refused, each for the reason given.
BOMBS = {
    "flow sequences": ("[" * 20_000, "nested deeper"),
    "flow mappings": ("{a: " * 20_000, "nested deeper"),
    "block sequences": ("- " * 50_000 + "x", "nested deeper"),
    "explicit keys": ("? " * 50_000 + "x", "nested deeper"),
    "indented mappings": (
        "\n".join(" " * n + "a:" for n in range(500)), "nested deeper"
    ),
    "aliases of aliases": (_billion_laughs("[x, x, x]"), "aliases stand for"),
    "merge keys of merge keys": (_merge_tree(), "aliases stand for"),
    "chain of merge keys": (_merge_chain(), "aliases stand for"),
    "many aliases": ("a: &a [1, 2, 3]\nb: [" + "*a, " * 6_000 + "]", "aliases stand for"),
    "itself": ("a: &a [*a]", "contains it"),
    "itself by a merge": ("a: &a\n  <<: *a", "contains it"),
    "unknown alias": ("a: *b", "is not defined before"),
    "many values": ("[" + "1," * 20_001 + "]", "more than"),
}  # fmt: skip
# Accepted or refused, but quickly.
SLOW = {
    "number with base 60": "a: 1" + ":59" * 100_000,
    "long number": "a: " + "1" * 200_000,
    "long line": "a: " + "x " * 100_000,
    "many anchors": "\n".join(f"k{n}: &k{n} x" for n in range(2_000)),
    "many comments": "#\n" * 30_000 + "a: 1",
    "many empty lines": "\n" * 200_000 + "a: 1",
    "many documents": "---\na: 1\n" * 5_000,
    "tags": "a: " + "!!str " * 3 + "x",
    "quotes": 'a: "' + "\\n" * 100_000 + '"',
    "keys that may be simple": "? " + "a\n" * 20_000,
    "same key": "a: 1\n" * 2_000,
}
