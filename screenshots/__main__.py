"""Take the screenshots: `python -m screenshots`; `--check` compares them.

The dashboard shows the scene of its design (`tests/support/fleet.py`) with a fixed clock, so that
the same program produces the same files byte by byte. `--all --into FOLDER` takes those, too, that
are not kept in the repository.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).parent


async def take_all(wanted: frozenset[str], folder: Path) -> dict[str, str]:
    """Return the wanted pictures as SVG by name; `folder` is for the files of the dashboard."""
    from screenshots.scenes import SCENES, take

    taken: dict[str, str] = {}
    for scene in SCENES:
        if any(picture.name in wanted for picture in scene.pictures):
            os.environ.pop("NO_COLOR", None)
            os.environ |= scene.env
            taken |= await take(scene, folder, wanted)
    return taken


def main() -> int:
    """Take or check the screenshots; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m screenshots", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--all", action="store_true", help="also those that are not kept")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder to write to")
    parser.add_argument("names", nargs="*", help="only these")
    options = parser.parse_args()
    # Before Textual is imported.
    os.environ |= {"TZ": "UTC", "COLORTERM": "truecolor", "TERM": "xterm-256color"}
    os.environ.pop("NO_COLOR", None)
    time.tzset()
    from screenshots.scenes import SCENES

    known = [picture for scene in SCENES for picture in scene.pictures]
    wanted = options.names
    names = [
        one.name
        for one in known
        if {one.name, one.recording} & {*wanted} or (not wanted and (one.kept or options.all))
    ]
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_STATE_HOME": home}
        taken = asyncio.run(take_all(frozenset(names), Path(home)))
    taken = _join_recordings(taken)
    if not options.check:
        for name, svg in taken.items():
            (options.into / f"{name}.svg").write_text(svg)
        return 0
    return _report_differences(taken, options.into)


def _join_recordings(taken: dict[str, str]) -> dict[str, str]:
    """Return the pictures with the frames of each recording as one."""
    from screenshots.animation import animate
    from screenshots.scenes import SCENES

    frames: dict[str, list[tuple[str, float]]] = {}
    joined = dict(taken)
    for picture in (picture for scene in SCENES for picture in scene.pictures):
        if picture.recording and picture.name in taken:
            frame = joined.pop(picture.name), picture.seconds
            frames.setdefault(picture.recording, []).append(frame)
    for name, parts in frames.items():
        joined[name] = animate([svg for svg, _ in parts], [length for _, length in parts])
    return joined


def _report_differences(taken: dict[str, str], folder: Path) -> int:
    from screenshots.svg_text import describe_difference

    differences = {}
    for name, svg in taken.items():
        path = folder / f"{name}.svg"
        expected = path.read_text() if path.exists() else ""
        if svg != expected:
            differences[name] = describe_difference(expected, svg)
    for name, lines in differences.items():
        sys.stderr.write("\n".join((f"{name}:", *lines, "")))
    if differences:
        sys.stderr.write(f"out of date: {', '.join(differences)}\n")
        sys.stderr.write("hint: run `make screenshots` and review the changes\n")
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
