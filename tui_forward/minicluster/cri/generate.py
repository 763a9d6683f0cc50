"""Regenerate `api_pb2.py` and its types from `api.proto`; needs `grpcio-tools`.

    python -m tui_forward.minicluster.cri.generate

The generated code requires a protobuf runtime at least as new as its compiler, so raise the
lower bound of `protobuf` in pyproject.toml with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the compiler and return its exit code."""
    source = Path(__file__).with_name("api.proto")
    # The path is the file's name in protobuf's registry, where a bare "api.proto" could
    # collide with that of another package.
    root = source.parents[3]
    options = [f"--proto_path={root}", f"--python_out={root}", f"--pyi_out={root}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *options, str(source.relative_to(root))]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
