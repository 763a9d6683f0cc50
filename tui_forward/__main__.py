"""The program: `tui-forward`, and `python -m tui_forward`."""

import signal
import sys


def main() -> int:
    """Run the command line and return its exit code.

    Ctrl-C ends the process at once while modules are imported: as a KeyboardInterrupt it would
    print a traceback, or be lost in a callback of the import system.
    """
    handler = signal.getsignal(signal.SIGINT)
    is_default = handler is signal.default_int_handler
    if is_default:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tui_forward.cli.main import main as run

    if is_default:
        signal.signal(signal.SIGINT, handler)
    return run()


if __name__ == "__main__":
    sys.exit(main())
