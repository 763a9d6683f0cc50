"""What the pod workers of a kubelet share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.kubelet.api_client import ApiClient
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.prober import Prober


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients and configuration of a kubelet.

    Attributes:
        id_scheme: What container ids start with ("containerd").
    """

    config: KubeletConfig
    api: ApiClient
    runtime: RuntimeClient
    prober: Prober
    id_scheme: str

    @property
    def root(self) -> Path:
        """The kubelet's folder."""
        return Path(self.config.state_dir)
