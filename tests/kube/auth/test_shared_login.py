from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from tests.support.waiting import until
from tui_forward.errors import AuthError
from tui_forward.kube.auth import shared_login
from tui_forward.kube.auth.credentials import Credentials, KeptCredentials
from tui_forward.kube.auth.login_handover import LoginState
from tui_forward.kube.auth.shared_login import SharedLogin
from tui_forward.model import LoginCommand, ReasonCode


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """Plugin whose runs end when the test says so."""

    name = "cloud-login"

    def __init__(self) -> None:
        self.runs: list[asyncio.Future[str]] = []
        self.killed = 0
        self.valid: Credentials | None = None
        self.on_line: Callable[[str], None] = lambda _: None

    def listen(self, on_line: Callable[[str], None]) -> None:
        self.on_line = on_line

    def terminal_command(self) -> LoginCommand | None:
        return LoginCommand(plugin=self.name, arguments=("/bin/cloud-login",), environ={})

    def accept(self, output: bytes, exit_code: int) -> Credentials:
        if exit_code:
            raise AuthError(f"exit code {exit_code}")
        self.valid = Credentials(authorization=f"Bearer {output.decode()}")
        return self.valid

    def current(self) -> Credentials | None:
        return self.valid

    def export(self) -> KeptCredentials | None:
        if self.valid is None:
            return None
        return KeptCredentials(token=self.valid.authorization.removeprefix("Bearer "))

    def adopt(self, kept: KeptCredentials) -> None:
        self.valid = kept.credentials()

    async def credentials(self, *, refresh: bool) -> Credentials:
        run: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.runs.append(run)
        try:
            token = await run
        except asyncio.CancelledError:
            self.killed += 1
            raise
        self.valid = Credentials(authorization=f"Bearer {token}")
        return self.valid


class Scenario:
    def __init__(self) -> None:
        self.clock = Clock()
        self.provider = Provider()
        self.changes = 0
        self.lines: list[str] = []
        self.renewals = 0
        self.login = SharedLogin(
            self.provider,
            on_change=self._changed,
            on_line=self.lines.append,
            on_renewed=self._renewed,
            clock=self.clock,
        )

    def _changed(self) -> None:
        self.changes += 1

    def _renewed(self) -> None:
        self.renewals += 1

    def use(self, *, refresh: bool = False) -> asyncio.Task[Credentials]:
        return asyncio.create_task(self.login.credentials(refresh=refresh))

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def fail(self) -> None:
        waiting = self.use()
        await self.settle()
        self.provider.runs[-1].set_exception(AuthError("no session"))
        with pytest.raises(AuthError, match="no session"):
            await waiting


@pytest.fixture
def scenario() -> Scenario:
    return Scenario()


async def test_one_run_serves_every_user(scenario: Scenario) -> None:
    users = [scenario.use(refresh=bool(n % 2)) for n in range(50)]
    await scenario.settle()
    assert len(scenario.provider.runs) == 1
    scenario.provider.runs[0].set_result("t")
    assert {(await user).authorization for user in users} == {"Bearer t"}
    assert (await scenario.login.credentials()).authorization == "Bearer t"
    assert len(scenario.provider.runs) == 1
    assert scenario.renewals == 1


@pytest.mark.parametrize("survivors", [1, 3])
async def test_a_user_that_leaves_ends_no_login(scenario: Scenario, survivors: int) -> None:
    users = [scenario.use() for _ in range(10)]
    await scenario.settle()
    for user in users[survivors:]:
        user.cancel()
    await scenario.settle()
    scenario.provider.runs[0].set_result("t")
    for user in users[:survivors]:
        assert (await user).authorization == "Bearer t"
    assert scenario.provider.killed == 0


async def test_a_short_timeout_of_one_user_ends_no_login(scenario: Scenario) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await scenario.login.credentials()
    late = scenario.use()
    await scenario.settle()
    assert len(scenario.provider.runs) == 1
    scenario.provider.runs[0].set_result("t")
    assert (await late).authorization == "Bearer t"


async def test_a_login_without_users_is_ended_after_a_while(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_login, "_UNUSED_S", 0.01)
    user = scenario.use()
    await scenario.settle()
    user.cancel()
    await asyncio.wait({user})
    await until(lambda: scenario.provider.killed)
    # It has not failed: the next user starts another one at once.
    next_user = scenario.use()
    await scenario.settle()
    assert len(scenario.provider.runs) == 2
    scenario.provider.runs[1].set_result("t")
    await next_user


async def test_failures_are_shared_and_repeated_ever_more_rarely(scenario: Scenario) -> None:
    started: list[float] = []
    begin = scenario.clock.now
    users = [scenario.use() for _ in range(9)]
    await scenario.settle()
    scenario.provider.runs[0].set_exception(AuthError("no session"))
    for user in users:
        with pytest.raises(AuthError, match="no session"):
            await user
    # Eight lists, a health check and a forward, each asking once a second for ten minutes.
    for second in range(600):
        scenario.clock.now = begin + second
        for _ in range(10):
            count = len(scenario.provider.runs)
            user = scenario.use()
            await scenario.settle()
            if len(scenario.provider.runs) > count:
                started.append(second)
                scenario.provider.runs[-1].set_exception(AuthError("no session"))
            with pytest.raises(AuthError, match="no session"):
                await user
    assert started == [5, 15, 35, 75, 155, 315]


async def test_success_ends_the_backoff(scenario: Scenario) -> None:
    for _ in range(4):
        await scenario.fail()
        scenario.clock.now += shared_login.LONGEST_PAUSE_S
    user = scenario.use()
    await scenario.settle()
    scenario.provider.runs[-1].set_result("t")
    await user
    scenario.provider.valid = None
    await scenario.fail()
    scenario.clock.now += shared_login.FIRST_PAUSE_S
    await scenario.fail()


async def test_retry_now_ends_the_pause(scenario: Scenario) -> None:
    await scenario.fail()
    scenario.login.retry_now()
    await scenario.fail()
    assert len(scenario.provider.runs) == 2


async def test_changes_around_it_shorten_the_pause_but_do_not_end_it(scenario: Scenario) -> None:
    for _ in range(6):
        await scenario.fail()
        scenario.clock.now += shared_login.LONGEST_PAUSE_S
    await scenario.fail()
    for second in range(int(shared_login.CHANGE_PAUSE_S)):
        scenario.login.retry_soon()
        with pytest.raises(AuthError, match="no session"):
            await scenario.login.credentials()
        assert len(scenario.provider.runs) == 7, second
        scenario.clock.now += 1
    await scenario.fail()


async def test_late_refusals_of_the_previous_credentials_cause_no_run(scenario: Scenario) -> None:
    scenario.provider.valid = Credentials(authorization="Bearer old")
    user = scenario.use(refresh=True)
    await scenario.settle()
    scenario.provider.runs[0].set_result("new")
    await user
    # Requests that were sent before come back refused one after the other.
    for _ in range(7):
        found = await scenario.login.credentials(refresh=True)
        assert found.authorization == "Bearer new"
    assert len(scenario.provider.runs) == 1


async def test_credentials_that_are_always_refused_are_renewed_ever_more_rarely(
    scenario: Scenario,
) -> None:
    begin = scenario.clock.now
    for second in range(600):
        scenario.clock.now = begin + second
        count = len(scenario.provider.runs)
        user = scenario.use(refresh=True)
        await scenario.settle()
        if len(scenario.provider.runs) > count:
            scenario.provider.runs[-1].set_result(f"t{second}")
        await user
    assert len(scenario.provider.runs) <= 6 + 600 / shared_login.LONGEST_RENEWAL_PAUSE_S


async def test_unexpected_error_reaches_every_user_and_backs_off(scenario: Scenario) -> None:
    users = [scenario.use() for _ in range(3)]
    await scenario.settle()
    scenario.provider.runs[0].set_exception(ValueError("bug"))
    for user in users:
        with pytest.raises(ValueError, match="bug"):
            await user
    with pytest.raises(ValueError, match="bug"):
        await scenario.login.credentials()
    assert len(scenario.provider.runs) == 1


async def test_close_kills_the_run_and_tells_its_users(scenario: Scenario) -> None:
    user = scenario.use()
    await scenario.settle()
    await scenario.login.close()
    await scenario.login.close()
    with pytest.raises(AuthError) as caught:
        await user
    assert caught.value.code is ReasonCode.AUTH_LOGIN_ENDED
    assert scenario.provider.killed == 1


async def test_reason_shows_a_run_that_lasts(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_login, "_SHOW_AFTER_S", 0.3)
    user = scenario.use()
    await scenario.settle()
    assert scenario.login.reason is None
    await until(lambda: scenario.changes)
    reason = scenario.login.reason
    assert reason is not None
    assert reason.code is ReasonCode.AUTH_PLUGIN_RUNNING
    assert reason.name == "cloud-login"
    scenario.provider.on_line("To sign in, open https://login.example/device")
    scenario.provider.on_line("and enter the code ABCD-1234")
    reason = scenario.login.reason
    assert reason is not None
    assert reason.code is ReasonCode.AUTH_LOGIN_RUNNING
    assert reason.detail.splitlines() == scenario.lines
    assert scenario.changes == 3
    scenario.provider.runs[0].set_result("t")
    await user
    assert scenario.login.reason is None
    assert scenario.changes == 4


async def test_text_of_a_plugin_is_bounded(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_login, "_SHOW_AFTER_S", 0)
    user = scenario.use()
    await until(lambda: scenario.changes)
    for number in range(10_000):
        scenario.provider.on_line(f"{number} " + "x" * 300)
    reason = scenario.login.reason
    assert reason is not None
    assert len(reason.detail) < 5000
    assert "9999 x" in reason.detail
    scenario.provider.runs[0].set_result("t")
    await user


# In a terminal -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_running", [False, True])
async def test_login_in_a_terminal_serves_every_user(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, is_running: bool
) -> None:
    monkeypatch.setattr(shared_login, "_SHOW_AFTER_S", 0)
    before = [scenario.use() for _ in range(3)] if is_running else []
    await scenario.settle()
    assert scenario.login.begin_in_terminal() is not None
    after = [scenario.use() for _ in range(3)]
    await until(lambda: scenario.login.reason is not None)
    reason = scenario.login.reason
    assert reason is not None
    assert reason.code is ReasonCode.AUTH_LOGIN_IN_TERMINAL
    assert scenario.provider.killed == is_running
    scenario.login.finish_in_terminal(b"t", 0)
    assert {(await user).authorization for user in (*before, *after)} == {"Bearer t"}
    assert scenario.login.reason is None
    assert len(scenario.provider.runs) == is_running
    assert scenario.renewals == 1


async def test_login_in_a_terminal_needs_no_pause(scenario: Scenario) -> None:
    await scenario.fail()
    assert scenario.login.begin_in_terminal() is not None
    user = scenario.use()
    await scenario.settle()
    scenario.login.finish_in_terminal(b"t", 0)
    assert (await user).authorization == "Bearer t"


async def test_failed_login_in_a_terminal_is_every_users(scenario: Scenario) -> None:
    scenario.login.begin_in_terminal()
    user = scenario.use()
    await scenario.settle()
    with pytest.raises(AuthError, match="exit code 1"):
        scenario.login.finish_in_terminal(b"", 1)
    with pytest.raises(AuthError, match="exit code 1"):
        await user


async def test_login_in_a_terminal_that_was_not_run(scenario: Scenario) -> None:
    scenario.login.begin_in_terminal()
    user = scenario.use()
    await scenario.settle()
    scenario.login.cancel_in_terminal()
    scenario.login.cancel_in_terminal()
    with pytest.raises(AuthError) as caught:
        await user
    assert caught.value.code is ReasonCode.AUTH_LOGIN_ENDED


async def test_second_terminal_replaces_the_first(scenario: Scenario) -> None:
    scenario.login.begin_in_terminal()
    user = scenario.use()
    await scenario.settle()
    scenario.login.begin_in_terminal()
    await scenario.settle()
    scenario.login.finish_in_terminal(b"t", 0)
    assert (await user).authorization == "Bearer t"


async def test_result_that_another_engine_began_is_used(scenario: Scenario) -> None:
    scenario.login.finish_in_terminal(b"t", 0)
    assert (await scenario.login.credentials()).authorization == "Bearer t"
    assert scenario.renewals == 1
    assert not scenario.provider.runs


async def test_login_in_a_terminal_does_not_last_for_ever(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_login, "_TERMINAL_S", 0.01)
    scenario.login.begin_in_terminal()
    with pytest.raises(AuthError):
        await scenario.use()
    scenario.login.retry_now()
    user = scenario.use()
    await scenario.settle()
    scenario.provider.runs[-1].set_result("t")
    await user


def successor(scenario: Scenario) -> Scenario:
    """Return the same login in the engine that replaces this one."""
    other = Scenario()
    other.clock.now = 5.0
    data = msgspec.msgpack.encode(scenario.login.export())
    other.login.adopt(msgspec.msgpack.decode(data, type=LoginState))
    return other


async def test_successor_uses_the_credentials(scenario: Scenario) -> None:
    user = scenario.use()
    await scenario.settle()
    scenario.provider.runs[0].set_result("t")
    await user
    other = successor(successor(scenario))
    assert (await other.login.credentials()).authorization == "Bearer t"
    assert not other.provider.runs
    # If they are refused, the plugin runs, once.
    users = [other.use(refresh=True) for _ in range(3)]
    await other.settle()
    assert len(other.provider.runs) == 1
    other.provider.runs[0].set_result("u")
    assert {(await user).authorization for user in users} == {"Bearer u"}
    # Other requests were sent with the first ones, and are refused now.
    third = successor(other)
    third.clock.now += 0.5
    assert (await third.login.credentials(refresh=True)).authorization == "Bearer u"
    third.clock.now += 1.0
    third.use(refresh=True)
    await third.settle()
    assert len(third.provider.runs) == 1
    await third.login.close()


async def test_successor_continues_the_pause_after_failures(scenario: Scenario) -> None:
    await scenario.fail()
    scenario.clock.now += 5
    await scenario.fail()
    scenario.clock.now += 4
    other = successor(scenario)
    with pytest.raises(AuthError, match="no session"):
        await other.login.credentials()
    assert not other.provider.runs
    other.clock.now += 5.9
    with pytest.raises(AuthError, match="no session"):
        await other.login.credentials()
    other.clock.now += 0.2
    await other.fail()
    other.clock.now += 19.9  # the third failure in a row
    with pytest.raises(AuthError, match="no session"):
        await other.login.credentials()
    assert len(other.provider.runs) == 1
    other.login.retry_now()
    other.use()
    await other.settle()
    assert len(other.provider.runs) == 2
    await other.login.close()


async def test_nothing_runs_while_another_engine_takes_over(scenario: Scenario) -> None:
    may_run = asyncio.Event()
    login = SharedLogin(scenario.provider, may_run=may_run, clock=scenario.clock)
    user = asyncio.create_task(login.credentials())
    await scenario.settle()
    assert (scenario.provider.runs, login.is_running) == ([], False)
    may_run.set()  # it has failed
    await scenario.settle()
    assert (len(scenario.provider.runs), login.is_running) == (1, True)
    may_run.clear()
    scenario.provider.runs[0].set_result("t")
    assert (await user).authorization == "Bearer t"
    assert not login.is_running
    # The other engine has taken over, and this one ends.
    user = asyncio.create_task(login.credentials(refresh=True))
    await scenario.settle()
    await login.close()
    with pytest.raises(AuthError) as caught:
        await user
    assert caught.value.code is ReasonCode.AUTH_LOGIN_ENDED
    assert len(scenario.provider.runs) == 1


async def test_login_in_a_terminal_is_a_running_one(scenario: Scenario) -> None:
    assert not scenario.login.is_running
    scenario.login.begin_in_terminal()
    assert scenario.login.is_running
    await scenario.settle()
    scenario.login.finish_in_terminal(b"t", 0)
    await scenario.settle()
    assert not scenario.login.is_running
