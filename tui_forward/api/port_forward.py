"""`forward` and `forward_all`: forwards as context managers, with and without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tui_forward.api.active_forward import (
    READY_TIMEOUT_S,
    TIMEOUT_HINT,
    ActiveForward,
    AsyncActiveForward,
    ForwardHandle,
    watched_by,
)
from tui_forward.api.engine_thread import EngineKey, EngineThread, engine_threads
from tui_forward.api.loop_thread import stopped_error
from tui_forward.common.arguments import (
    parse_addresses,
    parse_balance,
    parse_remote_port,
    parse_target,
    validate_selector,
)
from tui_forward.common.blocking_call import run_in_thread
from tui_forward.errors import ForwardError, UsageError
from tui_forward.model import (
    BUILT_IN,
    Balance,
    Forward,
    ForwardSpec,
    LocalAddress,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.session.batch import STOP_TIMEOUT_S, run_batch
from tui_forward.session.protected_targets import protected_contexts_of, protected_error
from tui_forward.session.start_monitor import StartMonitor

if TYPE_CHECKING:
    from tui_forward.session import Session

_PROTECTED_HINT: Final = "pass allow_protected=True to start forwards there"
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class PortForward:
    """A forward that can be started: `with` in plain code, `async with` in a coroutine.

    Where no block can hold it, as in a notebook, `start` and `stop` do the same. It can be started
    again after its end. `ready_timeout_s` of 0 waits for the local port only.
    """

    def __init__(
        self, spec: ForwardSpec, key: EngineKey, *, ready_timeout_s: float | None,
        allow_protected: bool,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.key = key
        self.ready_timeout_s = ready_timeout_s
        self.allow_protected = allow_protected
        self._group = PortForwards((self,))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec.target}>"

    def __enter__(self) -> ActiveForward:
        """Start the forward. Errors: see `forward`."""
        return self._group.__enter__()[0]

    def __exit__(self, *exception: object) -> None:
        """Stop the forward and close its connections."""
        self._group.__exit__(*exception)

    async def __aenter__(self) -> AsyncActiveForward:
        """Start the forward. Errors: see `forward`."""
        return (await self._group.__aenter__())[0]

    async def __aexit__(self, *exception: object) -> None:
        """Stop the forward and close its connections."""
        await self._group.__aexit__(*exception)

    def start(self) -> ActiveForward:
        """Start the forward for more than one block, as in a notebook: until `stop`, or the end.

        Errors: see `forward`.
        """
        return self.__enter__()

    def stop(self) -> None:
        """Stop what `start` has started, and close its connections. Idempotent."""
        self.__exit__()


class PortForwards:
    """Several forwards that start at the same time, and end together."""

    def __init__(self, forwards: Sequence[PortForward]) -> None:
        self._forwards = tuple(forwards)
        self._stack: contextlib.ExitStack | None = None
        self._async_stack: contextlib.AsyncExitStack | None = None

    def __enter__(self) -> tuple[ActiveForward, ...]:
        """Start all of them, in the order they were given; if one fails, none is left running."""
        self._require_unused()
        handles: dict[PortForward, ForwardHandle] = {}
        with contextlib.ExitStack() as stack:
            for key, group in self._by_engine().items():
                engine = engine_threads.acquire(key)
                stack.callback(engine_threads.release, engine)
                started = engine.wait(partial(_start, engine, group))
                stack.callback(_stop, engine, started)
                handles.update(zip(group, started, strict=True))
            self._stack = stack.pop_all()
        return tuple(ActiveForward(handles[one]) for one in self._forwards)

    def __exit__(self, *_: object) -> None:
        """Stop all of them and close their connections."""
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    async def __aenter__(self) -> tuple[AsyncActiveForward, ...]:
        """Do what `__enter__` does; cancellation leaves none running."""
        self._require_unused()
        handles: dict[PortForward, ForwardHandle] = {}
        async with contextlib.AsyncExitStack() as stack:
            for key, group in self._by_engine().items():
                engine = engine_threads.acquire(key)
                stack.push_async_callback(_release, engine)
                started = await engine.call(partial(_start, engine, group))
                stack.push_async_callback(_stop_in_background, engine, started)
                handles.update(zip(group, started, strict=True))
            self._async_stack = stack.pop_all()
        return tuple(AsyncActiveForward(handles[one]) for one in self._forwards)

    async def __aexit__(self, *_: object) -> None:
        """Stop all of them and close their connections, even if this is canceled."""
        stack, self._async_stack = self._async_stack, None
        if stack is not None:
            await stack.aclose()

    def start(self) -> tuple[ActiveForward, ...]:
        """Start all of them for more than one block: until `stop`, or the end of the process."""
        return self.__enter__()

    def stop(self) -> None:
        """Stop what `start` has started, and close its connections. Idempotent."""
        self.__exit__()

    def _require_unused(self) -> None:
        if self._stack is not None or self._async_stack is not None:
            raise UsageError("the forward is active", hint="call forward() again for another one")

    def _by_engine(self) -> dict[EngineKey, list[PortForward]]:
        groups: dict[EngineKey, list[PortForward]] = {}
        for one in self._forwards:
            groups.setdefault(one.key, []).append(one)
        return groups


def forward(
    target: str = "",
    port: int | str = "",
    *,
    selector: str = "",
    namespace: str = "",
    context: str = "",
    kubeconfig: str | Path | None = None,
    local_port: int | None = None,
    address: str | Sequence[str] = BUILT_IN.addresses,
    transport: TransportChoice | str = BUILT_IN.transport,
    pin: bool = False,
    balance: Balance | str = Balance.ONE,
    ready_timeout: float | None = READY_TIMEOUT_S,
    allow_protected: bool = False,
    daemon: bool = False,
) -> PortForward:
    """Return a forward to a port of a pod, a service or a workload; `with` starts it.

    >>> with forward("deploy/web", "http", namespace="shop", local_port=0) as web:
    ...     page = urllib.request.urlopen(web.url("http", "/"))
    >>> page.status
    200

    In a coroutine, `async with` gives the same with awaitable methods.

    >>> async def read_state() -> str:
    ...     async with forward("deploy/web", "http", namespace="shop", local_port=0) as web:
    ...         return (await web.status()).state
    >>> asyncio.run(read_state())
    <ForwardState.READY: 'ready'>

    Args:
        target: `svc/web`, `deploy/web`, `pod/web-1`, `web-1`, ...: as in the command line.
        port: Number or name of the remote port; for a service, of its port.
        selector: Labels of pods, instead of `target`: `app=web,tier=front`.
        namespace: That of the context if it is empty.
        context: The current one if it is empty.
        kubeconfig: A file, used alone; otherwise `KUBECONFIG`, `~/.kube/config` or the cluster that
            this program runs in, as kubectl does.
        local_port: A number is required, and an error if it is taken; 0 is any free port. None is
            the remote number if it is free and not privileged, else the next free one.
        address: Local addresses to listen on; `localhost` is 127.0.0.1 and ::1.
        transport: `auto`, `spdy`, `websocket` or `channels`.
        pin: Stay on this pod; do not follow its replacement.
        balance: `one`, or `spread`: each new connection goes to the Ready pod with the fewest.
        ready_timeout: How many seconds to wait at the start until the forward is ready; None waits
            forever. With 0 it is only started: connections wait until a pod is ready.
        allow_protected: Start it in a protected context (setting `protected_contexts`), too.
        daemon: Run it in the user's engine process, where dashboards show it, not in this one.

    Raises:
        UsageError: At once, or at the start: an argument is invalid, the context is protected.
        ConfigError: At the start: the kubeconfig is missing or invalid.
        StartError: At the start: something only the user can change, such as a missing target. Like
            all errors it has a code and a hint.
        NotReadyError: At the start: not ready in time. It is a TimeoutError, too.
    """
    if bool(target) == bool(selector):
        raise UsageError("a forward has a target or a selector", hint='for example "svc/web"')
    if selector:
        kind, name = TargetKind.SELECTOR, validate_selector(selector)
    else:
        kind, name = parse_target(target)
    if pin and kind is not TargetKind.POD:
        raise UsageError(f"only a pod can be pinned, not {target or selector}")
    if parse_balance(balance) is Balance.SPREAD and kind is TargetKind.POD:
        raise UsageError(f"connections cannot be spread over {target} alone")
    if local_port is not None and not 0 <= local_port <= 65535:
        raise UsageError(f"{local_port} is not a port", hint="local_port is from 0 to 65535")
    if ready_timeout is not None and not ready_timeout >= 0:
        raise UsageError("ready_timeout is below zero", hint="pass None to wait forever")
    if transport not in tuple(TransportChoice):
        known = ", ".join(TransportChoice)
        raise UsageError(f'"{transport}" is not a transport', hint=f"use one of {known}")
    spec = ForwardSpec(
        target=Target(
            context=context, namespace=namespace, kind=kind, name=name,
            port=parse_remote_port(str(port)), pin=pin,
            balance=parse_balance(balance),
        ),
        local_port=local_port,
        addresses=parse_addresses([address] if isinstance(address, str) else address),
        transport=TransportChoice(transport),
    )  # fmt: skip
    file = None if kubeconfig is None else os.fspath(kubeconfig)
    key = EngineKey(file, os.environ.get("KUBECONFIG") if file is None else None, daemon)
    return PortForward(spec, key, ready_timeout_s=ready_timeout, allow_protected=allow_protected)


def forward_all(*forwards: PortForward) -> PortForwards:
    """Return several forwards that `with` (or `async with`) starts at the same time.

    >>> web, echo = (forward(one, name, namespace="shop", local_port=0)
    ...              for one, name in (("deploy/web", "http"), ("deploy/echo", "echo")))
    >>> with forward_all(web, echo) as (web, echo):
    ...     web.port != echo.port
    True

    If one cannot be started, the error is that of `forward`, and none is left running. They wait
    for the longest `ready_timeout` of them.
    """
    return PortForwards(forwards)


# In the engine's thread ----------------------------------------------------------------


async def _start(
    engine: EngineThread, forwards: Sequence[PortForward], session: Session
) -> list[ForwardHandle]:
    """Start forwards and wait for them; stop them all if one fails, or on cancellation."""
    unpermitted = [one.spec.target for one in forwards if not one.allow_protected]
    contexts = await protected_contexts_of(session, unpermitted)
    if (error := protected_error(contexts, unpermitted, _PROTECTED_HINT)) is not None:
        raise error
    timeouts = [one.ready_timeout_s for one in forwards if one.ready_timeout_s != 0]
    longest = None if None in timeouts else max(filter(None, timeouts), default=READY_TIMEOUT_S)
    monitor = StartMonitor(session, timeout_s=longest, hint=TIMEOUT_HINT)
    ids: list[str] = []
    try:
        for one in forwards:
            ids.append(await session.start(one.spec))
            monitor.add(ids[-1], one.spec, only_port=one.ready_timeout_s == 0)
        async with watched_by(session, monitor):
            await monitor.wait()
        found = {one.id: one for one in (await session.snapshot()).forwards}
        return [_handle(engine, found.get(one)) for one in ids]
    except BaseException:
        await run_batch(session.stop, ids, timeout_s=STOP_TIMEOUT_S)
        raise


def _handle(engine: EngineThread, forward: Forward | None) -> ForwardHandle:
    """Return the handle of a started forward; ForwardError if it is stopped already."""
    if forward is None or not forward.listening:
        raise stopped_error()
    first = forward.listening[0]
    address = LocalAddress(_WILDCARDS.get(first.host, first.host), first.port)
    return ForwardHandle(engine, forward.id, forward.spec, address)


# From the caller's thread ---------------------------------------------------------------


async def _stop_all(handles: Sequence[ForwardHandle], session: Session) -> None:
    await run_batch(lambda one: one.stop(session), handles, timeout_s=STOP_TIMEOUT_S)


def _stop(engine: EngineThread, handles: Sequence[ForwardHandle]) -> None:
    """Stop forwards; KeyboardInterrupt does not keep them running."""
    with contextlib.suppress(ForwardError):  # this process is a fork, or the engine has ended
        engine.submit(partial(_stop_all, handles)).result()


async def _stop_in_background(engine: EngineThread, handles: Sequence[ForwardHandle]) -> None:
    """Stop forwards; cancellation does not keep them running."""
    with contextlib.suppress(ForwardError):
        await asyncio.shield(engine.call(partial(_stop_all, handles)))


async def _release(engine: EngineThread) -> None:
    await run_in_thread(partial(engine_threads.release, engine), name="tui-forward-release")
