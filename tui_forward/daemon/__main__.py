"""The engine process: `python -m tui_forward.daemon`.

It serves one session on a unix socket until SIGTERM or SIGINT, or until it had no client for
`--idle-timeout` seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tui_forward.common.garbage import collect_garbage_rarely
from tui_forward.common.logging_levels import LEVELS
from tui_forward.daemon import watchdog
from tui_forward.errors import TuiForwardError


def main(argv: list[str] | None = None) -> int:
    """Run the engine process and return its exit code."""
    collect_garbage_rarely()
    options = _parser().parse_args(argv)
    process: watchdog.SupervisedProcess | None = None
    if options.detach:
        if not _detach():
            return 0
        process = watchdog.fork_supervised()
        if process.is_restart:
            options.restore, options.take_over = True, False
    from tui_forward.daemon.engine_process import run
    from tui_forward.daemon.readiness import ReadyNotifier

    notifier = ReadyNotifier(is_detached=process is not None)
    try:
        return run(options, notifier, process)
    except TuiForwardError as error:
        notifier.failed(error)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tui_forward.daemon", description="The engine process of tui-forward."
    )
    parser.add_argument("--kubeconfig", help="use only this file; default: as kubectl")
    parser.add_argument("--context", default="", help="context to use as the current one")
    parser.add_argument("--socket", type=Path, help="path of the socket to serve")
    parser.add_argument(
        "--idle-timeout",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help='how long to run without clients; "inf" is forever (default: 0)',
    )
    parser.add_argument("--session", type=Path, help="file that stores the active forwards")
    parser.add_argument(
        "--restore", action="store_true", help="restore the forwards of the last session"
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="replace the running engine and take over its ports and forwards",
    )
    parser.add_argument("--log", type=Path, help="log file; default: the system's log folder")
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        help="lowest level to log; default: log_level of settings.toml",
    )
    parser.add_argument(
        "--detach", action="store_true", help="run in the background and log to a file"
    )
    return parser


def _detach() -> bool:
    """Continue in a child that init adopts; return False in the process that was started."""
    if os.fork():
        return False
    # The caller has created a session already (`start_new_session`), so that the end of a
    # terminal does not reach this process. Its folder must not keep a file system mounted.
    os.chdir("/")
    return True


if __name__ == "__main__":
    sys.exit(main())
