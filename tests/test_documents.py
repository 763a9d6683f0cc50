"""Files and modules named in the documents exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Files of users.
OTHERS = {
    "package.json", "settings.toml", "tasks.json", "browse.json", "places.json", "trusted.json",
}  # fmt: skip
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")


def tracked_files() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [f"/{line}" for line in done.stdout.splitlines()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_modules_exist(document: str) -> None:
    files = tracked_files()
    named = re.findall(r"`([\w./]+\.(?:py|json|toml))`", (ROOT / document).read_text("utf-8"))
    own = set(named) - OTHERS
    assert [name for name in sorted(own) if not any(f.endswith(f"/{name}") for f in files)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_pictures_exist(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text("utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (ROOT / link).exists()] == []
