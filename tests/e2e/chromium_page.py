"""A page in headless Chromium that is driven as a user does: typed addresses, real clicks.

Over the DevTools protocol by a pair of pipes, so that no WebSocket library is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.processes import TIMEOUT_S, wait_until


class ChromiumPage:
    """One tab; the methods raise TimeoutError when the browser does not answer."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to_browser = to_browser
        self._from_browser = from_browser
        self._data = b""
        self._last_id = 0
        self._session: dict[str, str] = {}
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self._call("Page.enable")

    def reset(self) -> None:
        """Open an empty page, without cookies and cached answers of earlier ones."""
        self._call("Network.clearBrowserCookies")
        self._call("Network.clearBrowserCache")
        self.open("about:blank")

    def open(self, url: str) -> None:
        """Open an address as if the user had typed it."""
        self._call("Page.navigate", url=url, transitionType="typed")

    def text(self) -> str:
        """Return the text of the page as it is now."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def evaluate(self, script: str) -> Any:
        """Return the value of a script in the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def wait_for(self, text: str) -> None:
        """Wait until the page has a text."""
        wait_until(lambda: text in self.text(), f"{text!r} on the page", state=self.text)

    def wait_until_loaded(self) -> None:
        """Wait for the page with its images, scripts and frames."""
        wait_until(lambda: self.evaluate("document.readyState") == "complete", "the page's parts")

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse."""
        script = (
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        x, y = self.evaluate(script)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def _call(self, method: str, **params: Any) -> Any:
        self._last_id += 1
        request = {"id": self._last_id, "method": method, "params": params, **self._session}
        os.write(self._to_browser, json.dumps(request).encode() + b"\0")
        while True:
            message = self._read_message()
            if message.get("id") == self._last_id:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def _read_message(self) -> dict[str, Any]:
        while b"\0" not in self._data:
            if not select.select([self._from_browser], [], [], TIMEOUT_S)[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._from_browser, 65536)
            if not data:
                raise TimeoutError("the browser has ended")
            self._data += data
        line, _, self._data = self._data.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


@contextlib.contextmanager
def running_chromium(home: Path, *options: str) -> Iterator[ChromiumPage]:
    """Run Chromium with a home folder and a profile of its own."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = (
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", f"--user-data-dir={home / 'chromium'}", "--remote-debugging-pipe",
        *options,
    )  # fmt: skip
    # The browser reads descriptor 3 and writes to 4.
    script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    browser = subprocess.Popen(
        ("bash", "-c", script, "bash", *command), pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**environ, "HOME": str(home)},
    )  # fmt: skip
    for descriptor in (theirs_in, theirs_out):
        os.close(descriptor)
    try:
        yield ChromiumPage(ours_out, ours_in)
    finally:
        os.close(ours_out)  # which ends it
        try:
            browser.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
        os.close(ours_in)
