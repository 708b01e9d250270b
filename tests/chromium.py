"""A headless Chromium, spoken to by its DevTools protocol over a WebSocket: no browser is downloaded, and no driver is needed."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tornado.websocket import websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    *("--headless=new", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-component-update"),
    *(
        "--disable-background-networking",
        "--disable-sync",
        "--disable-default-apps",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
    ),
)


def executable() -> str | None:
    """Path of the browser, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page of a browser: `await page.send(method, **parameters)`; `page.events` are what it reported, in order."""

    def __init__(self, socket):
        self.socket, self.events, self.number = socket, [], 0

    async def send(self, method: str, **parameters) -> dict:
        self.number += 1
        await self.socket.write_message(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = await self._read()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]

    async def _read(self) -> dict:
        message = json.loads(await asyncio.wait_for(self.socket.read_message(), 60))
        if "method" in message:
            self.events.append(message)
        return message

    async def wait_for(self, event: str) -> None:
        """Until the page has reported an event."""
        while event not in [message["method"] for message in self.events]:
            await self._read()

    async def run(self, script: str):
        """The value of a JavaScript expression."""
        found = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def open(self, url: str) -> None:
        """Open an address; requests, messages of the console and faults are among the events from then on."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)
        await self.wait_for("Page.loadEventFired")
        await self.run("Promise.all([...document.images].map((image) => image.decode()))")

    async def close(self) -> None:
        self.socket.close()
        while await asyncio.wait_for(self.socket.read_message(), 60) is not None:
            pass

    async def screenshot(self, path: Path, width: int, height: int = 1000, whole: bool = True) -> None:
        """A picture (PNG) of the page at a width in pixels."""
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        found = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    async def print(self, path: Path) -> None:
        """The page as printed (PDF)."""
        found = await self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        path.write_bytes(base64.b64decode(found["data"]))


def with_page(use):
    """What `await use(page)` gives, of a page of a browser that is started for it and ended after it."""

    async def steps(folder: str):
        arguments = [executable(), *QUIET, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
        if os.geteuid() == 0:  # the sandbox of Chromium refuses root, who runs the tests in containers
            arguments.insert(1, "--no-sandbox")
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = await _port(Path(folder) / "DevToolsActivePort", process)
            browser = Page(await websocket_connect(f"ws://127.0.0.1:{port[0]}{port[1]}", max_message_size=2**28))
            target = (await browser.send("Target.createTarget", url="about:blank"))["targetId"]
            page = Page(await websocket_connect(f"ws://127.0.0.1:{port[0]}/devtools/page/{target}", max_message_size=2**28))
            found = await use(page)
            await page.close()
            await browser.close()
            return found
        finally:
            process.terminate()
            process.wait(timeout=30)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return asyncio.run(steps(folder))


async def _port(path: Path, process: subprocess.Popen) -> list[str]:
    """The port of the browser and the path of its socket, once it has written them."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "the browser ended at once"
        if path.exists() and len(lines := path.read_text().split()) == 2:
            return lines
        await asyncio.sleep(0.1)
    raise AssertionError("the browser did not start within a minute")
