"""Take the screenshots of the README: `python -m screenshots`; `--check` compares them.

The dashboard runs on an embedded cluster with fixed names and a frozen clock, so that the same
program produces the same files byte by byte.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from textual.widgets import Input

from screenshots.scenes import (
    REPLACE_S,
    SCREENSHOTS,
    SEED,
    SceneCluster,
    Screenshot,
    app_for,
    forwarded_cluster,
)
from screenshots.svg_text import describe_difference
from tui_forward.cli.embedded_cluster import embedded_cluster

FOLDER = Path(__file__).parent


async def take_all(names: list[str]) -> dict[str, str]:
    """Return the screenshots as SVG by name; all if `names` is empty."""
    arguments = ("--seed", str(SEED), "--replace-delay", str(REPLACE_S))
    taken = {}
    async with embedded_cluster(arguments) as cluster, forwarded_cluster(cluster) as scene:
        for screenshot in SCREENSHOTS:
            if not names or screenshot.name in names:
                taken[screenshot.name] = await take(screenshot, scene)
    return taken


async def take(screenshot: Screenshot, scene: SceneCluster) -> str:
    """Take one screenshot; return it as SVG."""
    app = app_for(screenshot, scene.held, scene.ids)
    async with app.run_test(size=screenshot.size) as pilot:
        app.theme = screenshot.theme
        app.animation_level = "none"
        await screenshot.scene(scene, app, pilot)
        app.dashboard.body.fit()  # to all connections: their number when the first came varies
        await pilot.pause()
        if isinstance(app.focused, Input):
            app.focused.cursor_blink = False
        # Sample twice more, so that no update is pending.
        for _ in range(2):
            await app.sample()
            await pilot.pause()
        svg = app.export_screenshot(title=screenshot.title)
        # Some viewers collapse spaces otherwise.
        return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def main() -> int:
    """Take or check the screenshots; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m screenshots", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder to write to")
    parser.add_argument("names", nargs="*", help="only these")
    options = parser.parse_args()
    os.environ |= {"TZ": "UTC", "COLORTERM": "truecolor", "TERM": "xterm-256color"}
    os.environ.pop("NO_COLOR", None)
    time.tzset()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"HOME": home, "XDG_CONFIG_HOME": home, "XDG_STATE_HOME": home}
        taken = asyncio.run(take_all(options.names))
    differences = {}
    for name, svg in taken.items():
        path = options.into / f"{name}.svg"
        if not options.check:
            path.write_text(svg)
            continue
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
