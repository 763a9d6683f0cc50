"""Logins as the dashboard names them: what a plugin asks for, and where it leads. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from tui_forward.model import AccessOptions, BlockedBy, ClusterKey, Forward, Login
from tui_forward.tui.viewmodel.cell_layout import truncate
from tui_forward.tui.viewmodel.toasts import ToastText

_MAX_ADDRESS: Final = 80  # cells; an address with a challenge has hundreds
_MAX_LINE: Final = 120
_CODE_WORD: Final = re.compile(r"\bcode\b", re.IGNORECASE)
_MAX_DISTANCE: Final = 80  # characters from the word to the code
# `WDJB-MJHT`, `ABCD1234`, `DKNXQPLRT`: letters alone only if there are many.
_CODE: Final = re.compile(
    r"(?<![\w-])"
    r"(?:[A-Z0-9]{3,12}(?:-[A-Z0-9]{3,12})+|(?=[A-Z]*[0-9])[A-Z0-9]{6,16}|[A-Z]{8,16})"
    r"(?![\w-])"
)


class LoginPrompt(msgspec.Struct, frozen=True):
    """What a plugin asks the user for: an address to open, and a code to enter there."""

    address: str = ""
    code: str = ""

    @property
    def to_copy(self) -> str:
        """The code, or without one the address; may be empty."""
        return self.code or self.address

    @property
    def text(self) -> str:
        """`open https://sso.example/device, code WDJB-MJHT`; empty without either."""
        address = f"open {truncate(self.address, _MAX_ADDRESS).rstrip()}" if self.address else ""
        code = f"code {self.code}" if self.code else ""
        return ", ".join(filter(None, (address, code)))

    @property
    def hint(self) -> str:
        """`y copies the code`."""
        what = "code" if self.code else "address"
        return f"y copies the {what}" if self.to_copy else "L shows it"


def read_prompt(text: str) -> LoginPrompt:
    """Return what a plugin asks for, as far as its text can be understood."""
    from tui_forward.common.links import find_urls  # a login is rare, and this takes a while

    addresses = find_urls(text)
    rest = text
    for address in addresses:  # which may contain the code, or a word that looks like one
        rest = rest.replace(address, " ")
    for word in _CODE_WORD.finditer(rest):
        found = _CODE.search(rest, word.end(), word.end() + _MAX_DISTANCE)
        if found is not None:
            return LoginPrompt(next(iter(addresses), ""), found[0])
    return LoginPrompt(next(iter(addresses), ""))


def find_login(logins: Iterable[Login], cluster: ClusterKey) -> Login | None:
    """Return the login in progress of a cluster that has something to say."""
    context, options = cluster
    wanted = context, options.without_secrets()
    return next((one for one in logins if wanted in one.clusters and one.text), None)


def login_of(forward: Forward, logins: Iterable[Login]) -> Login | None:
    """Return the login in progress that a forward waits for."""
    if forward.blocked_by is not BlockedBy.CREDENTIALS:
        return None
    return find_login(logins, forward.spec.target.cluster_key)


def describe_login(context: str, user: str) -> str:
    """Return where a login leads: the context, and the user of the kubeconfig if it is known."""
    where = context or "the current context"
    return f"{where} as {user}" if user else where


class LoginTracker:
    """Tracker of logins; returns a toast for each, which stays until the login ends."""

    def __init__(self, shown_context: Callable[[str, AccessOptions], str]) -> None:
        self._shown_context = shown_context
        self._shown: dict[str, str] = {}  # texts by topic

    def notice(self, logins: Iterable[Login]) -> list[ToastText]:
        """Return toasts for what is asked for since the last call, and the ends of others."""
        before, self._shown = self._shown, {}
        for login in logins:
            if login.text:
                text = self._text(login)
                self._shown.setdefault(f"login {login.context} {login.user}", text)
        changed = [topic for topic in self._shown if before.get(topic) != self._shown[topic]]
        over = [topic for topic in before if topic not in self._shown]
        return [
            *(ToastText(self._shown[topic], "warning", topic, stays=True) for topic in changed),
            *(ToastText("", topic=topic) for topic in over),
        ]

    def _text(self, login: Login) -> str:
        prompt = read_prompt(login.text)
        lines = [line.strip() for line in login.text.splitlines() if line.strip()]
        asked = prompt.text or f"{login.plugin} asks: {truncate(lines[-1], _MAX_LINE).rstrip()}"
        where = self._shown_context(*login.clusters[0]) or "the current context"
        return f"{where}: {asked}  {prompt.hint}"
