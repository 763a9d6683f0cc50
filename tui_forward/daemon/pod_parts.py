"""Pods of a catalog on the engine's socket: in parts, with one object for what many of them share.

A view of 10,000 pods at once would be a message of many megabytes, whose memory the dashboard keeps
in pieces. Pods of one workload have the same labels, owner and ports, which take most of the
memory; they are decoded once. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import islice
from typing import Final

import msgspec

from tui_forward.daemon import rpc
from tui_forward.model import DeclaredPort, OwnerRef, PodSummary

_PART: Final = 500  # pods
# What was shared may outlive the pods, so that larger values than Kubernetes allows are not kept.
_MAX_CACHED_TEXT: Final = 256
_MAX_CACHED_SHARED: Final = 8192  # bytes


class _Shared(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the pods of a workload have in common."""

    namespace: str
    labels: dict[str, str]
    owner: OwnerRef | None
    ports: tuple[DeclaredPort, ...]


class _Pod(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A pod."""

    shared: msgspec.Raw  # `_Shared`
    name: str
    phase: str
    status: str
    ready: bool
    containers_ready: int
    containers_total: int
    restarts: int
    restarted_at: float
    created_at: float
    deleting: bool
    node: str


class PodDecoder:
    """Decodes parts, and shares what is equal."""

    def __init__(self) -> None:
        self.pods: list[PodSummary] = []

    def add(self, part: msgspec.Raw) -> None:
        """Decode a part; ProtocolError if it is none."""
        for one in rpc.decode_value(part, list[_Pod]):
            shared = _decode_shared(one.shared)
            self.pods.append(
                PodSummary(
                    namespace=shared.namespace,
                    name=one.name,
                    phase=_share_text(one.phase),
                    status=_share_text(one.status),
                    ready=one.ready,
                    containers_ready=one.containers_ready,
                    containers_total=one.containers_total,
                    restarts=one.restarts,
                    restarted_at=one.restarted_at or 0.0,  # a shared zero
                    created_at=_cached_time(one.created_at),
                    deleting=one.deleting,
                    node=_share_text(one.node),
                    labels=shared.labels,
                    owner=shared.owner,
                    ports=shared.ports,
                )
            )


def encode_pods(pods: tuple[PodSummary, ...]) -> Iterator[msgspec.Raw]:
    """Yield pods in parts for `PodDecoder`."""
    remaining = iter(pods)
    while part := list(islice(remaining, _PART)):
        yield rpc.encode_value([_encode_pod(pod) for pod in part])


def _encode_pod(pod: PodSummary) -> _Pod:
    return _Pod(
        rpc.encode_value(_Shared(pod.namespace, pod.labels, pod.owner, pod.ports)),
        pod.name, pod.phase, pod.status, pod.ready, pod.containers_ready, pod.containers_total,
        pod.restarts, pod.restarted_at, pod.created_at, pod.deleting, pod.node,
    )  # fmt: skip


def _share_text(text: str) -> str:
    return _cached_text(text) if len(text) <= _MAX_CACHED_TEXT else text


@functools.lru_cache(maxsize=4096)
def _cached_text(text: str) -> str:
    return text


@functools.lru_cache(maxsize=4096)
def _cached_time(seconds: float) -> float:
    """Return the same number for pods that were created in the same second."""
    return seconds


def _decode_shared(raw: msgspec.Raw) -> _Shared:
    encoded = bytes(raw)
    decode = _cached_shared if len(encoded) <= _MAX_CACHED_SHARED else _cached_shared.__wrapped__
    return decode(encoded)


@functools.lru_cache(maxsize=4096)
def _cached_shared(encoded: bytes) -> _Shared:
    shared = rpc.decode_value(msgspec.Raw(encoded), _Shared)
    return _Shared(
        _share_text(shared.namespace),
        {_share_text(name): _share_text(value) for name, value in shared.labels.items()},
        shared.owner,
        _cached_ports(shared.ports),
    )


@functools.lru_cache(maxsize=4096)
def _cached_ports(ports: tuple[DeclaredPort, ...]) -> tuple[DeclaredPort, ...]:
    return ports
