"""An application in a real container: `python -m tui_forward.minicluster.runtime.apps NAME [ARG…]`.

For pods of a real container runtime, which provides the process and its network.
"""

from __future__ import annotations

import os
import sys

from tui_forward.minicluster.runtime.apps import registry
from tui_forward.minicluster.runtime.apps.context import AppContext
from tui_forward.minicluster.runtime.apps.registry import APPS


def main() -> int:
    """Run the process."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in APPS:
        sys.stderr.write(f"unknown application {name!r}; available: {', '.join(APPS)}\n")
        return 2
    context = AppContext(args=tuple(arguments), env=os.environ, network="netns", host="")
    return registry.run(name, context)


if __name__ == "__main__":
    sys.exit(main())
