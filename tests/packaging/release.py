"""Steps of a release that need no package: checks of its version, and files made from templates.

python -m tests.packaging.release check v1.2.3
python -m tests.packaging.release notes v1.2.3
python -m tests.packaging.release render v1.2.3 --dist dist
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / ".github" / "release"
# `sys.platform`-machine of each one-file program, and its name in templates.
PLATFORMS = {
    "linux-x86_64": "LINUX_X86_64",
    "linux-aarch64": "LINUX_AARCH64",
    "darwin-aarch64": "DARWIN_AARCH64",
}


class ReleaseError(Exception):
    """Tag, version and changelog do not agree, or a file is missing."""


def check(tag: str, root: Path = ROOT) -> str:
    """Return the version of a tag; ReleaseError unless it is that of the package and changelog."""
    version = tag.removeprefix("v")
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    if tag == version or project["version"] != version:
        raise ReleaseError(
            f"the tag is {tag}, the version in pyproject.toml is {project['version']}"
        )
    notes(tag, root)
    return version


def notes(tag: str, root: Path = ROOT) -> str:
    """Return the section of a version in the changelog; ReleaseError if there is none."""
    version = tag.removeprefix("v")
    text = (root / "CHANGELOG.md").read_text("utf-8")
    heading = rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)\n(.*?)(?=^## |\Z)"
    found = re.search(heading, text, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise ReleaseError(f'CHANGELOG.md has no section "## {version} (YYYY-MM-DD)"')
    return found[1].strip() + "\n"


def render(tag: str, dist: Path) -> list[Path]:
    """Write archives for krew, the manifest, the formula and the checksums into `dist`."""
    names = {"VERSION": tag.removeprefix("v")}
    written = []
    for platform, name in PLATFORMS.items():
        program = dist / f"tui-forward-{platform}.pyz"
        if not program.is_file():
            raise ReleaseError(f"{program} is missing")
        archive = dist / f"kubectl-tui_forward-{platform}.tar.gz"
        with tarfile.open(archive, "w:gz") as file:
            file.add(program, "kubectl-tui_forward")
            file.add(ROOT / "LICENSE", "LICENSE")
        written.append(archive)
        names[f"{name}_SHA256"] = _digest(program)
        names[f"{name}_ARCHIVE_SHA256"] = _digest(archive)
    for template in sorted(TEMPLATES.glob("*.in")):
        target = dist / template.stem
        target.write_text(fill(template.read_text("utf-8"), names), "utf-8")
        written.append(target)
    sums = dist / "SHA256SUMS"
    files = sorted(path for path in dist.iterdir() if path != sums)
    sums.write_text("".join(f"{_digest(path)}  {path.name}\n" for path in files), "utf-8")
    return [*written, sums]


def fill(template: str, names: dict[str, str]) -> str:
    """Return a template with each `@NAME@` replaced; ReleaseError for an unknown name."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in names:
            raise ReleaseError(f"the template names @{found[1]}@, which is unknown")
        return names[found[1]]

    return re.sub(r"@([A-Z][A-Z0-9_]+)@", value, template)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Run one step; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["check", "notes", "render"])
    parser.add_argument("tag")
    parser.add_argument("--dist", type=Path, default=Path("dist"))
    options = parser.parse_args(arguments)
    try:
        if options.step == "render":
            for path in render(check(options.tag), options.dist):
                print(path)  # noqa: T201
        else:
            step = check if options.step == "check" else notes
            print(step(options.tag), end="")  # noqa: T201
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
