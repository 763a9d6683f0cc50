"""Networks of the pods of a node."""

from __future__ import annotations

import os
import sys

from tui_forward.minicluster.runtime import netns
from tui_forward.minicluster.runtime.shim_protocol import NetworkKind, Sandbox


class SandboxNetworks:
    """Creates networks of sandboxes and holds their namespaces open."""

    def __init__(self) -> None:
        if netns.is_supported():
            self._default = NetworkKind.NETNS
        elif sys.platform == "linux":
            self._default = NetworkKind.LOOPBACK
        else:
            self._default = NetworkKind.MAPPED
        self._namespaces: dict[str, int] = {}
        self._last_host = 0

    def choose(self, kind: NetworkKind | None) -> NetworkKind:
        """Return the requested kind of network, by default the best available."""
        return kind or self._default

    def attach(self, sandbox: Sandbox, label: str) -> None:
        """Create the network of a sandbox and enter its address.

        Raises `OSError`: the namespace cannot be created.
        """
        if sandbox.network is NetworkKind.NETNS:
            descriptor = netns.create()
            self._namespaces[sandbox.id] = descriptor
            sandbox.netns = f"/proc/{os.getpid()}/fd/{descriptor}"
            sandbox.label = label
        elif sandbox.network is NetworkKind.LOOPBACK:
            # 127.64.0.0/10: unlikely to be in use by hand.
            self._last_host += 1
            number = self._last_host
            sandbox.host = f"127.{64 + (number >> 16) % 64}.{number >> 8 & 255}.{number & 255}"

    def detach(self, sandbox: Sandbox) -> None:
        """Release the network of a sandbox."""
        descriptor = self._namespaces.pop(sandbox.id, None)
        if descriptor is not None:
            os.close(descriptor)

    def namespace(self, sandbox_id: str) -> int | None:
        """Return the descriptor of a sandbox's namespace, None without one."""
        return self._namespaces.get(sandbox_id)

    def close(self) -> None:
        """Release all networks."""
        for descriptor in self._namespaces.values():
            os.close(descriptor)
        self._namespaces.clear()
