"""A real browser without a window, told what to do over a pipe; for tests that look at pages as a reader does.

Chromium's DevTools protocol through file descriptors 3 and 4 (``--remote-debugging-pipe``) needs no other package.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 60

# Every text that is seen, with the contrast (WCAG 2.2, 1.4.3) of its colour against what lies behind it.
LOOK = r"""
(() => {
  document.querySelectorAll('details').forEach(d => { d.open = true; });
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (colour, below) => {  // any CSS colour over an opaque one, as sRGB
    canvas.fillStyle = `rgb(${below.join(',')})`; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return Array.from(canvas.getImageData(0, 0, 1, 1).data.slice(0, 3));
  };
  const behind = element => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.push(getComputedStyle(e).backgroundColor);
    return chain.reverse().reduce((below, colour) => parse(colour, below), [255, 255, 255]);
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.getClientRects().length || element.closest('style, title, metadata, defs')) continue;
    const style = getComputedStyle(element), below = behind(element);
    const above = parse(element.closest('svg') ? style.fill : style.color, below);
    const [light, dark] = [luminance(above), luminance(below)].sort((a, b) => b - a);
    texts.push([text.slice(0, 60), Math.round(100 * (light + 0.05) / (dark + 0.05)) / 100]);
  }
  const root = document.documentElement;
  return JSON.stringify({
    texts, width: root.clientWidth, content: root.scrollWidth, background: behind(document.body),
    broken: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt || 'without a name'),
    images: document.images.length, drawings: document.querySelectorAll('svg').length,
    unnamed: document.querySelectorAll('img:not([alt]), svg:not([aria-label])').length,
    headings: [...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1])),
  });
})()
"""


def find_browser() -> str | None:
    """The path of an installed Chromium (``MDX_BROWSER`` first); None without one."""
    return next((p for name in (os.environ.get("MDX_BROWSER", ""), *NAMES) if name and (p := shutil.which(name))), None)


@dataclass
class Seen:
    """What was found on a page at one width and in one colour scheme.

    Attributes:
        texts: every visible text with its contrast.
        requests: what was asked for that is neither the page itself nor inside it.
    """

    width: int
    content: int
    background: list[int]
    texts: list[tuple[str, float]]
    broken: list[str]
    images: int
    drawings: int
    unnamed: int
    headings: list[int]
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Browser:
    """One headless Chromium; close it with ``close``."""

    def __init__(self, path: str, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # out of the way of 3 and 4, which they are to become
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        duplicates = [(os.POSIX_SPAWN_DUP2, end, fd) for end, fd in zip(ends, (3, 4), strict=True)]
        arguments = [path, *QUIET, f"--user-data-dir={profile}", "about:blank"]
        self._process = os.posix_spawn(path, arguments, os.environ, file_actions=[*null, *duplicates], setpgroup=0)
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)
        self._buffer, self._next = b"", 0
        self._events: list[dict[str, Any]] = []

    def look(self, page: Path, width: int, scheme: str, picture: Path) -> Seen:
        """Open a page, unfold what is folded, save a picture of all of it, and say what was found."""
        target, session = self._open(page, width, scheme)
        found = self._call("Runtime.evaluate", session, expression=LOOK, returnByValue=True)["result"]
        seen = Seen(**json.loads(found["value"]))
        size = self._call("Page.getLayoutMetrics", session)["cssContentSize"]
        whole = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self._call("Page.captureScreenshot", session, captureBeyondViewport=True, clip=whole)
        picture.write_bytes(base64.b64decode(shot["data"]))
        self._call("Target.closeTarget", targetId=target)
        for event in self._events:
            says = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                seen.problems.append(says["exceptionDetails"]["text"])
            elif event["method"] == "Log.entryAdded" and says["entry"]["level"] in ("error", "warning"):
                seen.problems.append(says["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled":
                seen.problems.append(f"console.{says['type']}")
            elif event["method"] == "Network.requestWillBeSent":
                url = says["request"]["url"]
                if url != page.resolve().as_uri() and not url.startswith("data:"):
                    seen.requests.append(url)
        return seen

    def ask(self, page: Path, expression: str, *, width: int = 1200, scheme: str = "light", script: str = "") -> Any:
        """Open a page, run ``script`` there, and return what a JavaScript expression comes to, as plain values."""
        target, session = self._open(page, width, scheme)
        if script:
            self._call("Runtime.evaluate", session, expression=script)
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self._call("Runtime.evaluate", session, **asked)
        self._call("Target.closeTarget", targetId=target)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def _open(self, page: Path, width: int, scheme: str) -> tuple[str, str]:
        """A page of its own that has loaded: its target and session."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable", session)
        self._call("Emulation.setDeviceMetricsOverride", session, width=width, height=900, deviceScaleFactor=1,
                   mobile=False)  # fmt: skip
        self._call("Emulation.setEmulatedMedia", session,
                   features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip
        self._events.clear()
        self._call("Page.navigate", session, url=page.resolve().as_uri())
        while not any(e["method"] == "Page.loadEventFired" for e in self._events):
            self._read()
        return target, session

    def close(self) -> None:
        """End the browser and every process it started."""
        try:
            self._call("Browser.close")
        except (OSError, TimeoutError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._in)
        os.close(self._out)

    def _call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._next += 1
        number = self._next
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        """The next message; one that answers nothing is kept as an event."""
        end = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(f"the browser has said nothing for {SECONDS} s")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise OSError("the browser has ended")
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self._events.append(message)
        return message
