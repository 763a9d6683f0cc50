"""Back-off of restarts and image pulls."""

from __future__ import annotations

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.container_starter import CrashBackoff, PullBackoff


def config(*, crash_backoff_s: float = 1.0, crash_backoff_max_s: float = 20.0) -> KubeletConfig:
    return KubeletConfig(
        node="n",
        state_dir="",
        server="",
        ca="",
        client_cert="",
        client_key="",
        serving_cert="",
        serving_key="",
        client_ca="",
        runtime_endpoint="",
        crash_backoff_s=crash_backoff_s,
        crash_backoff_max_s=crash_backoff_max_s,
    )


def crash(number: int, uptime_s: float = 0.1) -> cri.ContainerStatus:
    started_ns = number * 1_000_000_000_000
    return cri.ContainerStatus(
        id=f"c{number}", started_at=started_ns, finished_at=started_ns + int(uptime_s * 1e9)
    )


def test_restart_delay_doubles_and_resets() -> None:
    backoff = CrashBackoff(config(crash_backoff_s=1.0, crash_backoff_max_s=5.0))
    delays = [backoff.next_start("c", crash(number))[1] for number in range(6)]
    assert delays == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    # The result for the same exit does not change.
    assert backoff.next_start("c", crash(5)) == (5000.1 + 5.0, 5.0)
    # A long uptime resets the delay; other containers have their own.
    assert backoff.next_start("c", crash(6, uptime_s=60.0))[1] == 0.0
    assert backoff.next_start("other", crash(7))[1] == 0.0


def test_failed_pull_backs_off_until_success() -> None:
    backoff = PullBackoff(config())
    assert backoff.waiting_state("c", "image") is None
    retry_s = backoff.record_failure("c", "not found")
    assert backoff.waiting_state("c", "image") == (retry_s, "ErrImagePull", "not found")
    backoff.record_success("c")
    assert backoff.waiting_state("c", "image") is None
