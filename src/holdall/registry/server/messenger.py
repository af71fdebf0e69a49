"""The process that sends events to webhooks: to each in order, again and again until it takes them.

It reads the log of `spool`, so it neither slows requests nor loses anything when it dies. What an endpoint has taken
is noted after its answer: a kill between the two sends an event twice, with the same id.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import random
import signal
import time

import aiohttp

from holdall import __version__
from holdall.errors import HoldallError
from holdall.oci.jsonval import dumps, loads
from holdall.registry.server import accessfile
from holdall.registry.server.journal import shown
from holdall.registry.server.notices import ENVELOPE
from holdall.registry.server.passwords import fingerprint
from holdall.registry.server.spool import Reader, folder_of
from holdall.registry.server.webhooks import secret_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.meters import Meters
    from holdall.registry.server.options import ServeOptions
    from holdall.registry.server.spool import Place
    from holdall.registry.server.webhooks import Webhook

LOOK_SECONDS = 0.2
RELOAD_SECONDS = 1.0
FIRST_PAUSE, MAX_PAUSE = 1.0, 60.0
BATCH = 64
QUIET_SECONDS = 600.0
SIGNATURE = "X-Hub-Signature-256"


class Messenger:
    """Runs until SIGTERM."""

    def __init__(self, options: ServeOptions, meters: Meters) -> None:
        self._path = options.access_file
        self._reader = Reader(folder_of(options.location.folder))
        self._meters = meters
        self._stopping = asyncio.Event()
        self._hooks: dict[str, Webhook] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._seen = ""
        self._complained: dict[str, float] = {}

    async def run(self) -> None:
        """Send, as long as no other process does for the same folder."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        held = None
        try:
            async with aiohttp.ClientSession(auto_decompress=False) as session:
                while not self._stopping.is_set():
                    held = self._reader.hold() if held is None else held
                    if held is not None:
                        await self._look(session)
                    await self._pause(RELOAD_SECONDS)
                await self._end(list(self._tasks))
        finally:
            if held is not None:
                os.close(held)

    async def _look(self, session: aiohttp.ClientSession) -> None:
        """Take in the access file when it changed, have a task for each webhook, sync and tidy the log."""
        seen = fingerprint(self._path)
        if seen != self._seen:
            self._seen = seen
            try:
                self._hooks = {hook.name: hook for hook in accessfile.read(self._path).webhooks}
            except (HoldallError, OSError):
                pass  # the workers say so
        await self._end([name for name, task in self._tasks.items() if name not in self._hooks or task.done()])
        try:
            await asyncio.to_thread(self._reader.sync)
            self._reader.tidy(set(self._hooks))
        except OSError as err:
            self._complain("", f"events cannot be kept: {err}")
        for name in self._hooks:
            if name not in self._tasks:
                self._tasks[name] = asyncio.create_task(self._serve(session, name))

    async def _end(self, names: list[str]) -> None:
        tasks = [self._tasks.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(done, Exception):
                self._complain("", f"sending events failed: {type(done).__name__}: {done}")

    async def _serve(self, session: aiohttp.ClientSession, name: str) -> None:
        """Send to one webhook for ever."""
        place = self._reader.sent(name) or self._reader.start()
        pause = FIRST_PAUSE
        while True:
            events, after = self._next(name, place)
            if not events:
                if after != place:
                    self._reader.mark(name, after)
                    place = after
                    continue
                await asyncio.sleep(LOOK_SECONDS)
                continue
            trouble = await self._post(session, self._hooks[name], events)
            if not trouble:
                self._reader.mark(name, after)
                self._meters.add("events_sent", len(events))
                place, pause = after, FIRST_PAUSE
                self._complained.pop(name, None)
                continue
            self._meters.add("events_failures")
            self._complain(name, f'webhook "{name}" takes no events, trying again: {trouble}')
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, MAX_PAUSE)

    def _next(self, name: str, place: Place) -> tuple[list[object], Place]:
        """The next events for a webhook, and the place behind the last one."""
        lines, end = self._reader.read(place)
        events: list[object] = []
        for line, behind in lines:
            event = _event(line, name)
            if event is not None:
                events.append(event)
                if len(events) == BATCH:
                    return events, behind
        return events, end

    async def _post(self, session: aiohttp.ClientSession, hook: Webhook, events: list[object]) -> str:
        """Send one envelope; returns what went wrong."""
        body = dumps({"events": events})
        headers = {**dict(hook.headers), "Content-Type": ENVELOPE, "User-Agent": f"holdall-registry/{__version__}"}
        try:
            secret = secret_of(hook)
            if secret:
                headers[SIGNATURE] = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
            async with asyncio.timeout(hook.timeout):
                async with session.post(hook.url, data=body, headers=headers, allow_redirects=False) as answer:
                    return "" if 200 <= answer.status < 300 else f"it answers {answer.status}"
        except TimeoutError:
            return f"no answer within {hook.timeout:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as err:
            return shown(str(err)) or type(err).__name__

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _complain(self, name: str, text: str) -> None:
        """Say something once, and again when it lasts."""
        now = time.monotonic()
        if now - self._complained.get(name, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._complained[name] = now
            os.write(2, f"holdall registry: {text}\n".encode())


def _event(line: bytes, name: str) -> object:
    """The event in a line if it is for this webhook; a torn line is nobody's."""
    try:
        values = loads(line, "an event")
    except HoldallError:
        return None
    if not isinstance(values, dict):
        return None
    names = values.get("for")
    return values.get("event") if isinstance(names, list) and name in names else None
