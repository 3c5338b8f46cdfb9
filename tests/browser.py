# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven through its DevTools protocol over a pair of pipes.

No driver, no port. It resolves no host name, so that a page that wants the network gets none, and
every request, message and exception of a page is kept: whoever opens it says what there may be.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = "chromium-headless-shell"
# The machine may be busy: this ends what hangs, and measures nothing.
TIMEOUT_S = 120

_OPTIONS = (
    "--no-sandbox",  # the tests run as root, and open only our own pages
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# key: (its code for the page, what it types)
_KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "ArrowDown": (40, ""),
    "Home": (36, ""),
}


class Browser:
    """The browser's end of the pipes; messages are JSON, each ended by a NUL."""

    def __init__(self, folder: Path) -> None:
        to_it, ours = os.pipe()
        theirs, from_it = os.pipe()
        # Above 3 and 4, where the browser expects them.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_it, from_it)]
        os.close(to_it)
        os.close(from_it)
        self._write, self._read = ours, theirs
        self._buffer = bytearray()
        self._number = 0
        self._events: list[dict[str, Any]] = []
        program = shutil.which(PROGRAM)
        assert program is not None, f"apt-get install {PROGRAM} (or: make prepare)"
        self.log = folder / "browser.log"
        self._pid = os.posix_spawn(
            program,
            [program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            {**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, ends[0], 3),
                (os.POSIX_SPAWN_DUP2, ends[1], 4),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        for fd in ends:
            os.close(fd)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; what happens meanwhile is kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def events(self, session: str) -> list[dict[str, Any]]:
        """All that happened in a page so far."""
        return [event for event in self._events if event.get("sessionId") == session]

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT_S
        while b"\0" not in self._buffer:
            left = end - time.monotonic()
            ready = left > 0 and select.select([self._read], [], [], left)[0]
            piece = os.read(self._read, 2**20) if ready else b""
            assert piece, f"the browser says nothing: {self.log.read_text()[-2000:]}"
            self._buffer += piece
        message, _, rest = bytes(self._buffer).partition(b"\0")
        self._buffer = bytearray(rest)
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def close(self) -> None:
        """End it and all that it started."""
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._write)
        os.close(self._read)


class Page:
    """One open page."""

    def __init__(self, browser: Browser, path: Path, *, script: bool = True) -> None:
        self._browser = browser
        self.url = path.absolute().as_uri()
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._target, self._session = target, attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setScriptExecutionDisabled", value=not script)
        self.ask("Page.navigate", url=self.url)
        self.wait_for("Page.loadEventFired")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to this page."""
        return self._browser.ask(method, self._session, **parameters)

    def wait_for(self, method: str) -> None:
        """Wait until an event has come."""
        end = time.monotonic() + TIMEOUT_S
        while not any(event["method"] == method for event in self.events()):
            assert time.monotonic() < end, f"no {method}"
            self.ask("Page.getFrameTree")
            time.sleep(0.02)

    def events(self) -> list[dict[str, Any]]:
        """All that happened in this page so far."""
        return self._browser.events(self._session)

    def requests(self) -> list[str]:
        """The addresses that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events()
            if event["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """What went wrong by the console: exceptions, messages, refusals, dialogs."""
        kinds = {
            "Runtime.exceptionThrown",
            "Runtime.consoleAPICalled",
            "Log.entryAdded",
            "Page.javascriptDialogOpening",
        }
        return [json.dumps(event["params"]) for event in self.events() if event["method"] in kinds]

    def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, *, times: int = 1) -> None:
        """Press and release a key."""
        code, text = _KEYS[key]
        same = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        for _ in range(times):
            kind = "keyDown" if text else "rawKeyDown"
            self.ask("Input.dispatchKeyEvent", type=kind, text=text, **same)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **same)

    def type(self, text: str) -> None:
        """Type text into what has the focus."""
        self.ask("Input.insertText", text=text)

    def close(self) -> None:
        """Close the page."""
        self._browser.ask("Target.closeTarget", targetId=self._target)


@contextmanager
def opened(browser: Browser, path: Path, *, script: bool = True) -> Iterator[Page]:
    """A page that is closed at the end of the block."""
    page = Page(browser, path, script=script)
    try:
        yield page
    finally:
        page.close()
