"""An application in a real container: `python -m tui_forward.minicluster.runtime.apps NAME [ARG…]`.

For pods of a real container runtime, which brings the process and its network itself.
"""

from __future__ import annotations

import os
import sys

from tui_forward.minicluster.runtime import apps
from tui_forward.minicluster.runtime.apps.context import AppContext


def main() -> int:
    """Entry point of the process."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in apps.APPS:
        sys.stderr.write(f"no application {name!r}; there are {', '.join(apps.APPS)}\n")
        return 2
    context = AppContext(args=tuple(arguments), env=os.environ, network="netns", host="")
    return apps.run(name, context)


if __name__ == "__main__":
    sys.exit(main())
