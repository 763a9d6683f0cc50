"""Take the pictures of the README: `python -m screenshots`, or `--check` whether they are true.

The dashboard runs on an embedded cluster with names that are always the same, under a clock
that stands still; the same program gives the same pictures, byte by byte.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from screenshots.frozen_session import FrozenSession
from screenshots.scenes import (
    PICTURES,
    RATES,
    REPLACE_S,
    SEED,
    SceneCluster,
    Screenshot,
    app_for,
    stage,
)
from tui_forward.cli.embedded_cluster import embedded_cluster

FOLDER = Path(__file__).parent


async def take_all(wanted: list[str]) -> dict[str, str]:
    """Every picture that is wanted, as SVG, by name."""
    arguments = ("--seed", str(SEED), "--replace-delay", str(REPLACE_S))
    taken = {}
    async with embedded_cluster(arguments) as cluster, stage(cluster) as staged:
        server = urlsplit(cluster.server).netloc
        session = FrozenSession(staged.session, server=server, rates=RATES)
        for picture in PICTURES:
            if not wanted or picture.name in wanted:
                taken[picture.name] = await take(picture, staged, session)
    return taken


async def take(picture: Screenshot, staged: SceneCluster, session: FrozenSession) -> str:
    """One picture."""
    app = app_for(picture, session, staged.ids)
    async with app.run_test(size=picture.size) as pilot:
        app.theme = picture.theme
        app.animation_level = "none"
        await picture.scene(staged, app, pilot)
        # Two samples more, so that nothing is half way.
        for _ in range(2):
            await app.sample()
            await pilot.pause()
        svg = app.export_screenshot(title=picture.title)
        # Not every program that shows pictures keeps blanks otherwise.
        return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def main() -> int:
    """Take or check them."""
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
    differ = []
    for name, svg in taken.items():
        path = options.into / f"{name}.svg"
        if not options.check:
            path.write_text(svg)
        elif not path.exists() or path.read_text() != svg:
            differ.append(name)
    if differ:
        sys.stderr.write(f"not what the program shows now: {', '.join(differ)}\n")
        sys.stderr.write("hint: run `make screenshots`, and look at what has changed\n")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
