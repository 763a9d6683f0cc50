"""The embedded cluster's Deployment and Service `toolbox`: one port per behavior.

`tui_forward.minicluster.runtime.apps.toolbox` documents the ports.
"""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "ops"
NAME: Final = "toolbox"

ECHO: Final = 7000
SINK: Final = 7001
SOURCE: Final = 7002
RESET: Final = 7004
SLOW: Final = 7005
LATE: Final = 7006
BYE: Final = 7007
COUNTERS: Final = 7009
RESET_LATE: Final = 7010
CLOSED: Final = 7999
