"""`python -m tui_forward`: the same as the `tui-forward` command."""

import sys

from tui_forward.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
