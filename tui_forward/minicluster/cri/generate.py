"""Regenerate `api_pb2.py` and its types from `api.proto`; needs `grpcio-tools`.

    python -m tui_forward.minicluster.cri.generate

The generated code asks for a protobuf runtime at least as new as the compiler that made it, so
the lower bound of `protobuf` in pyproject.toml goes with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the compiler; gives its exit code."""
    source = Path(__file__).with_name("api.proto")
    # The whole path is the file's name in protobuf's registry, where a bare "api.proto" could
    # collide with somebody else's.
    root = source.parents[3]
    return subprocess.run(
        [
            sys.executable,
            *("-m", "grpc_tools.protoc"),
            f"--proto_path={root}",
            f"--python_out={root}",
            f"--pyi_out={root}",
            str(source.relative_to(root)),
        ],
        check=False,
    ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
