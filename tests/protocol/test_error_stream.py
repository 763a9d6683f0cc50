"""Error texts of every runtime, parsed into codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import codec_settings
from tui_forward.model import ReasonCode
from tui_forward.protocol import error_stream
from tui_forward.protocol.error_stream import parse_failure

NETNS = "/var/run/netns/cni-1"
REFUSED4 = "dial tcp4 127.0.0.1:80: connect: connection refused"
RESET4 = "dial tcp4 127.0.0.1:80: connect: connection reset by peer"
TIMED_OUT4 = "dial tcp4 127.0.0.1:80: connect: connection timed out"
REFUSED6 = "dial tcp6 [::1]:80: connect: connection refused"
NO_IPV6 = "dial tcp6: address localhost: no suitable address found"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            ReasonCode.PORT_REFUSED,
            error_stream.containerd_dial_error(80, NETNS, "a4bb", REFUSED4, NO_IPV6),
        ),
        (ReasonCode.PORT_REFUSED, error_stream.crio_dial_error(80, NETNS, "a4bb", f"{REFUSED4}")),
        (
            ReasonCode.PORT_REFUSED,
            error_stream.dockershim_exit_error(
                "2020/01/01 socat[1] E connect(5, AF=2 127.0.0.1:80, 16): Connection refused"
            ),
        ),
        (
            ReasonCode.PORT_RESET,
            error_stream.containerd_copy_error(
                NETNS, "read tcp4 127.0.0.1:48012->127.0.0.1:80: read: connection reset by peer"
            ),
        ),
        (
            ReasonCode.PORT_RESET,
            error_stream.containerd_copy_error(
                NETNS, "write tcp4 127.0.0.1:48012->127.0.0.1:80: write: broken pipe"
            ),
        ),
        (
            ReasonCode.PORT_RESET,
            error_stream.containerd_dial_error(80, NETNS, "a", RESET4, NO_IPV6),
        ),
        # An application that listens on IPv4 alone.
        (
            ReasonCode.PORT_RESET,
            error_stream.containerd_dial_error(80, NETNS, "a", RESET4, REFUSED6),
        ),
        (
            ReasonCode.CONNECTION_TIMEOUT,
            error_stream.containerd_dial_error(80, NETNS, "a", TIMED_OUT4, REFUSED6),
        ),
        (
            ReasonCode.PORT_REFUSED,
            error_stream.containerd_dial_error(80, NETNS, "a", REFUSED4, REFUSED6),
        ),
        (ReasonCode.RUNTIME_SANDBOX_GONE, error_stream.containerd_sandbox_closed("a4bb")),
        (ReasonCode.RUNTIME_SANDBOX_GONE, error_stream.containerd_sandbox_missing("a4bb")),
        (ReasonCode.POD_NOT_RUNNING, "container not running (a4bb)"),
        (ReasonCode.CONNECTION_FAILED, "unable to do port forwarding: socat not found."),
        (
            ReasonCode.CONNECTION_TIMEOUT,
            error_stream.containerd_copy_error(NETNS, "dial tcp4 1.2.3.4:80: i/o timeout"),
        ),
    ],
)
def test_texts_with_a_port(code: ReasonCode, text: str) -> None:
    whole = error_stream.forwarding_error(80, "a4bb", text)
    failure = parse_failure(whole.encode(), 9999)
    assert failure.code is code
    assert failure.port == 80
    assert failure.text == whole.strip()
    assert failure.summary
    assert failure.to_error().code is code


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (ReasonCode.CONNECTION_TIMEOUT, "(conn=0xc000, request=3) timed out waiting for streams"),
        (
            ReasonCode.CONNECTION_FAILED,
            "error processing stream for request 3: error stream already assigned",
        ),
        (ReasonCode.CONNECTION_FAILED, ""),
    ],
)
def test_texts_without_a_port(code: ReasonCode, text: str) -> None:
    failure = parse_failure(text, 8080)
    assert failure.code is code
    assert failure.port == 8080


def test_recorded_texts() -> None:
    assert error_stream.forwarding_error(
        7999, "a4bb", error_stream.containerd_dial_error(7999, NETNS, "a4bb", REFUSED4, NO_IPV6)
    ) == (
        "error forwarding port 7999 to pod a4bb, uid : failed to execute portforward in network "
        f'namespace "{NETNS}": failed to connect to localhost:7999 inside namespace "a4bb", '
        f"IPv4: {REFUSED4} IPv6 {NO_IPV6} "
    )


def test_error_messages() -> None:
    refused = parse_failure(error_stream.forwarding_error(80, "x", REFUSED4), 80)
    assert refused.summary == "nothing listens on port 80 in the pod"
    assert refused.to_error().hint


@given(st.binary(max_size=200))
@codec_settings
def test_garbage_has_a_port(text: bytes) -> None:
    assert parse_failure(b"\xff" + text, 80).port == 80
