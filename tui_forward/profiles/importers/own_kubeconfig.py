"""Whether a kubeconfig that a text names is the one in use here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tui_forward.profiles.importers.command_reader import DEFAULT_KUBECONFIG


def own_kubeconfig_test(environ: Mapping[str, str]) -> Callable[[str], bool]:
    """Return a test whether a spelled path, or list of them, is what this environment uses."""
    home = environ.get("HOME", "~")

    def absolute(path: str) -> Path:
        return Path(home + path[1:] if path.startswith("~/") else path).absolute()

    own = [path for path in environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    paths = {absolute(path) for path in own or [DEFAULT_KUBECONFIG]}

    def is_own(text: str) -> bool:
        return all(absolute(path) in paths for path in text.split(os.pathsep) if path)

    return is_own
