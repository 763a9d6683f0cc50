"""Tunnels to earlier pods, which only finish the connections that they carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tui_forward.engine.tunnels.base import Tunnel


class DrainingTunnels:
    """Tunnels that get no new connection, in one group for each time a pod was left.

    There is no time limit: a pod that is not Ready, or Terminating, may still answer. A tunnel ends
    with its last connection, which the runtime ends with the application's container, or when it
    is silent for too long.
    """

    __slots__ = ("_close", "_groups")

    def __init__(self, close: Callable[[Tunnel], None]) -> None:
        self._close = close
        self._groups: list[set[Tunnel]] = []

    def __iter__(self) -> Iterator[Tunnel]:
        for group in self._groups:
            yield from group

    def __contains__(self, tunnel: Tunnel) -> bool:
        return bool(self.group_of(tunnel))

    def add(self, tunnels: Iterable[Tunnel]) -> None:
        """Drain the tunnels to one pod; closes those without connections, except for one.

        That one shows whether the path is up while an application that does not read silences
        another (see `Tunnel.path_is_alive`).
        """
        tunnels = set(tunnels)
        busy = {tunnel for tunnel in tunnels if tunnel.channels}
        idle = tunnels - busy
        if busy and idle:
            busy.add(idle.pop())
        if busy:
            self._groups.append(busy)
        for tunnel in idle:
            self._close(tunnel)

    def update(self, tunnel: Tunnel) -> None:
        """Close what is not needed any more, after a tunnel has changed."""
        group = self.group_of(tunnel)
        if not (tunnel.channels or self._is_witness(tunnel, group)):
            self._drop(tunnel)
            self._close(tunnel)

    def discard(self, tunnel: Tunnel) -> None:
        """Forget a tunnel that has ended. Idempotent."""
        if tunnel in self:
            self._drop(tunnel)

    def _is_witness(self, tunnel: Tunnel, group: tuple[Tunnel, ...]) -> bool:
        return all(other is tunnel or other.channels for other in group) and len(group) > 1

    def _drop(self, tunnel: Tunnel) -> None:
        for group in self._groups:
            group.discard(tunnel)
            if not any(other.channels for other in group):
                for idle in group:
                    self._close(idle)
                group.clear()
        self._groups = [group for group in self._groups if group]

    def group_of(self, tunnel: Tunnel) -> tuple[Tunnel, ...]:
        """Return the tunnels that were drained together with this one, itself included."""
        return next((tuple(group) for group in self._groups if tunnel in group), ())
