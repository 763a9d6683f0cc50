"""`python -m tui_forward.minicluster.apiserver --config FILE`."""

from __future__ import annotations

import argparse
import sys

from tui_forward.minicluster import config, process_lifecycle
from tui_forward.minicluster.apiserver.component import serve


def main() -> int:
    """Run the API server until it is asked to end."""
    parser = argparse.ArgumentParser(prog="apiserver")
    parser.add_argument("--config", required=True, help="JSON file, see config.ApiServerConfig")
    options = parser.parse_args()
    settings = config.load(options.config, config.ApiServerConfig)
    return process_lifecycle.run_component(lambda lifetime: serve(settings, lifetime))


if __name__ == "__main__":
    sys.exit(main())
