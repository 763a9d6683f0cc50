"""OCI images built in memory, for a containerd without a registry."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import struct
import tarfile
from pathlib import Path

# Program of sandbox containers, which waits forever; in machine code, so no compiler is needed.
_WAIT_CODE = {
    # mov eax, 34 (pause); syscall; jmp back
    "x86_64": (62, bytes.fromhex("b8220000000f05ebf7")),
    # mov x0..x4, 0; mov x8, 73 (ppoll); svc 0; b back
    "aarch64": (
        183,
        bytes.fromhex(
            "000080d2010080d2020080d2030080d2040080d2280980d2010000d4f9ffff17",
        ),
    ),
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_BASE = 0x400000


def build_pause_program() -> bytes:
    """Return a static ELF executable that waits forever."""
    machine, code = _WAIT_CODE[platform.machine()]
    size = 120 + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + b"\0" * 9,
        *(2, machine, 1, _BASE + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code


def _build_layer(files: dict[str, bytes], links: dict[str, str], folders: tuple[str, ...]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in folders:
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o755, len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_image(path: Path, reference: str, layer: bytes, command: list[str]) -> None:
    """Write an OCI image archive with one layer, for `ctr images import`."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"digest": f"sha256:{digest}", "size": len(content)}

    layer_blob = blob(layer)
    config = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Cmd": command, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer_blob["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            **blob(json.dumps(config).encode()),
        },
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer_blob}],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                **blob(json.dumps(manifest).encode()),
                "annotations": {"io.containerd.image.name": reference},
            }
        ],
    }
    with tarfile.open(path, mode="w") as tar:
        for name, content in (
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
            ("index.json", json.dumps(index).encode()),
            *((f"blobs/sha256/{digest}", content) for digest, content in blobs.items()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_pause(path: Path, reference: str) -> None:
    """Write the image of sandbox containers."""
    layer = _build_layer({"pause": build_pause_program()}, {}, ())
    write_image(path, reference, layer, ["/pause"])


def write_base(path: Path, reference: str) -> None:
    """Write an image without programs, which are mounted from the host."""
    folders = ("usr", "etc", "tmp", "root", "proc", "sys", "dev", "work", "var")
    links = {name: f"usr/{name}" for name in ("bin", "lib", "lib64", "sbin")}
    write_image(path, reference, _build_layer({}, links, folders), ["/bin/sh"])
