"""Debian's chromium without a window, driven by its DevTools protocol: what our pages look like to a reader."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM = "chromium"
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0


def available() -> bool:
    """Whether it is installed."""
    return shutil.which(PROGRAM) is not None


class Browser:
    """One tab; an asynchronous context manager. `folder` takes the profile.

    `refused` are what the page's security policy or the network did not let it load, `said` is what was logged.
    """

    def __init__(self, folder: str) -> None:
        self.refused: list[str] = []
        self.said: list[str] = []
        self.asked: list[str] = []
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._number = 0

    async def __aenter__(self) -> Self:
        command = [
            PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", "--no-proxy-server", "--remote-debugging-port=0", f"--user-data-dir={self._folder}",
            "about:blank",
        ]  # fmt: skip
        env = {**os.environ, "HOME": self._folder, "XDG_CONFIG_HOME": self._folder, "XDG_CACHE_HOME": self._folder}
        quiet = subprocess.DEVNULL
        self._process = await asyncio.to_thread(
            subprocess.Popen, command, env=env, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        try:
            await self._connect()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _connect(self) -> None:
        note = os.path.join(self._folder, "DevToolsActivePort")
        async with asyncio.timeout(START_SECONDS):
            while not os.path.exists(note) or len((await asyncio.to_thread(_read, note)).split()) < 2:
                assert self._process is not None
                if self._process.poll() is not None:
                    raise RuntimeError("the browser ended")
                await asyncio.sleep(0.05)
            port = _read(note).split()[0]
            self._session = aiohttp.ClientSession()
            async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in await answer.json(content_type=None) if one["type"] == "page"]
            self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.get_running_loop().create_task(self._listen(self._socket))
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.call(f"{domain}.enable")

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            told = json.loads(message.data)
            if "id" in told:
                waiting = self._waiting.pop(told["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(told)
                continue
            what, values = told.get("method"), told.get("params", {})
            if what == "Page.loadEventFired":
                self._loaded.set()
            elif what == "Network.requestWillBeSent":
                self.asked.append(values["request"]["url"])
            elif what == "Network.loadingFailed":
                self.refused.append(values.get("blockedReason") or values["errorText"])
            elif what == "Log.entryAdded":
                self.said.append(values["entry"]["text"])

    async def call(self, method: str, **values: Any) -> dict[str, Any]:
        """One command of the protocol. Raises RuntimeError with what the browser says."""
        assert self._socket is not None
        self._number += 1
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        await self._socket.send_json({"id": self._number, "method": method, "params": values})
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await future
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    async def size(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """How large the window is, in CSS pixels, and which colours the reader likes."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def goto(self, url: str) -> None:
        """Open a page and wait until all of it is there."""
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._loaded.wait()

    async def click(self, selector: str) -> None:
        """Follow a link, or press a button that opens a page."""
        self._loaded.clear()
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._loaded.wait()

    async def evaluate(self, script: str) -> Any:
        """What a script, which the page's policy does not concern, finds in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    async def picture(self, path: str) -> None:
        """A picture of the whole page as a PNG."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(_write, path, base64.b64decode(shot["data"]))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            await asyncio.to_thread(self._process.wait)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
