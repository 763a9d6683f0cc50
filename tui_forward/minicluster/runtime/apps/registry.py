"""The applications by name, and the image references that select them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tui_forward.minicluster.runtime.apps import (
    database,
    echo,
    http_site,
    idle,
    metrics,
    toolbox,
)
from tui_forward.minicluster.runtime.apps.context import AppContext

App = Callable[[AppContext], Awaitable[int]]

APPS: Final[dict[str, App]] = {
    "http-site": http_site.main,
    "echo": echo.main,
    "database": database.main,
    "metrics": metrics.main,
    "crash-loop": idle.crash_loop,
    "silent": idle.silent,
    "toolbox": toolbox.main,
}


def find_app(image: str) -> str | None:
    """Return the name of an image's application, None if there is none."""
    name = image.rpartition("@")[0] or image
    head, _, last = name.rpartition("/")
    if head not in ("", "local", "docker.io/local"):
        return None
    app = last.partition(":")[0]
    return app if app in APPS else None


def full_reference(image: str) -> str:
    """Return the full reference of an image, as a runtime reports it."""
    app = find_app(image)
    tag = image.rpartition("/")[2].partition(":")[2] or "latest"
    return f"docker.io/local/{app}:{tag}"
