"""Rate limits: how many requests and bytes a client may have a second. Token buckets in memory that processes share.

A client is a user, or an address that did not log in. Each bucket is one number, the moment at which it will be full
again ("virtual scheduling", ITU-T I.371): taking from it moves that moment on. Whoever does has the table's lock
(fcntl(2), two microseconds). Several machines do not share theirs.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import os
from contextlib import contextmanager

from holdall.record import record
from holdall.registry.server import tables
from holdall.registry.server.clients import bucket
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.oci.jsonval import JsonObject

SLOTS = 1 << 15
NEAR = 8
MAX_SPECIAL = 1_000
MAX_WAIT = 3_600
TINY = 1e-6
BURST_SECONDS = 5.0
BURST_BYTES_SECONDS = 60.0
"""A bucket holds what comes in this time unless the settings say otherwise."""
LOGGED_IN = "*"
_KEYS = {"requests", "burst", "bytes", "burst_bytes"}
_WORDS = 3  # of 8 bytes: whose it is, when its requests are full again, when its bytes are


@record
class Limit:
    """What comes in each second and how much is kept; a rate of 0 is no limit."""

    requests: float = 0.0
    burst: float = 0.0
    bytes: float = 0.0
    burst_bytes: float = 0.0


@record
class Limits:
    """The settings: the first of `special` that names a user counts, else `default`."""

    default: Limit = Limit()
    special: tuple[tuple[tuple[str, ...], Limit], ...] = ()

    def of(self, user: str) -> Limit:
        """The limit for a user, or with "" for an address."""
        if user:
            for users, limit in self.special:
                if user in users or LOGGED_IN in users:
                    return limit
        return self.default

    @property
    def on(self) -> bool:
        """Whether anything is limited."""
        return bool(self.special or self.default.requests or self.default.bytes)


def parse(obj: JsonObject | None) -> Limits:
    """The table [limits] of an access file. Raises the object's error."""
    if obj is None:
        return Limits()
    tables.only(obj, {*_KEYS, "user"})
    special = []
    for one in obj.children("user", MAX_SPECIAL):
        tables.only(one, {*_KEYS, "users"})
        if not one.strings("users"):
            raise one.missing("users")
        special.append((one.strings("users"), _limit(one)))
    return Limits(_limit(obj), tuple(special))


def _limit(obj: JsonObject) -> Limit:
    requests, octets = tables.rate(obj, "requests"), float(tables.size(obj, "bytes"))
    burst = tables.rate(obj, "burst", max(1.0, math.ceil(requests * BURST_SECONDS)))
    burst_bytes = float(tables.size(obj, "burst_bytes", int(octets * BURST_BYTES_SECONDS), least=1 if octets else 0))
    if requests and burst < 1:
        raise obj.error(f"{obj.path('burst')} must be at least 1")
    for key, base, value in (("burst", "requests", requests), ("burst_bytes", "bytes", octets)):
        if key in obj and not value:
            raise obj.error(f"{obj.path(key)} needs {base} beside it")
    return Limit(requests, burst, octets, burst_bytes)


class Buckets:
    """The table. Made before processes are forked, it is theirs together. All times are of one clock, in seconds."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._file = os.memfd_create("holdall-registry-limits", os.MFD_CLOEXEC)
        os.ftruncate(self._file, slots * _WORDS * 8)
        self._memory = mmap.mmap(self._file, slots * _WORDS * 8)
        self._owners = memoryview(self._memory).cast("Q")
        self._full = memoryview(self._memory).cast("d")
        self._key = os.urandom(16)

    def wait(self, client: str, limit: Limit, now: float) -> float:
        """Seconds until the client may ask again, 0.0 when it may now. Takes nothing."""
        with self._locked():
            return self._wait(self._find(client), limit, now)

    def take(self, client: str, limit: Limit, now: float) -> float:
        """Like `wait`, and takes one request if the client may ask."""
        with self._locked():
            at = self._find(client)
            wait = self._wait(at, limit, now)
            if not wait and limit.requests:
                self._full[at + 1] = max(self._full[at + 1], now) + 1 / limit.requests
            return wait

    def spend(self, client: str, limit: Limit, count: float, now: float) -> None:
        """Take bytes, also more than are there: what is owed is waited for before the next request."""
        if limit.bytes and count:
            with self._locked():
                at = self._find(client)
                self._full[at + 2] = max(self._full[at + 2], now) + count / limit.bytes

    def close(self) -> None:
        """Let go of the memory; nothing may be taken any more."""
        self._owners.release()
        self._full.release()
        self._memory.close()
        os.close(self._file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Have the table alone. The lock is a process's, also of those that inherited the file."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1)

    def _wait(self, at: int, limit: Limit, now: float) -> float:
        return max(
            _wait(self._full[at + 1], limit.requests, limit.burst - 1, now),
            _wait(self._full[at + 2], limit.bytes, limit.burst_bytes, now),
        )

    def _find(self, client: str) -> int:
        """The client's slot: its own, else a free one, else that of whoever is nearest to a full bucket."""
        digest = hashlib.blake2b(client.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()
        owner = int.from_bytes(digest[:8], "big") or 1
        first = int.from_bytes(digest[8:], "big")
        places = [(first + step) % self._slots * _WORDS for step in range(NEAR)]
        for at in places:
            if self._owners[at] == owner:
                return at
        at = min(places, key=lambda place: max(self._full[place + 1], self._full[place + 2]))
        self._full[at + 1] = self._full[at + 2] = 0.0
        self._owners[at] = owner
        return at


def _wait(full: float, rate: float, spare: float, now: float) -> float:
    """How long until at most `spare` is missing from a bucket that will be full at `full`."""
    wait = full - now - spare / rate if rate else 0.0
    return wait if wait > TINY else 0.0


class Limiter:
    """The limits as requests meet them."""

    def __init__(self, buckets: Buckets | None = None) -> None:
        self._given = buckets

    @property
    def _buckets(self) -> Buckets:
        if self._given is None:
            self._given = Buckets()
        return self._given

    def look(self, limits: Limits, user: str, address: str, now: float) -> None:
        """Raise Refusal (429) when the client may not ask now."""
        if limits.on:
            _refuse(self._buckets.wait(_client(user, address), limits.of(user), now))

    def take(self, limits: Limits, user: str, address: str, now: float) -> None:
        """Take one request. Raises Refusal (429) when the client has none left, or owes bytes."""
        if limits.on:
            _refuse(self._buckets.take(_client(user, address), limits.of(user), now))

    def spend(self, limits: Limits, user: str, address: str, count: float, now: float) -> None:
        """Take bytes that were sent or received."""
        if limits.on:
            self._buckets.spend(_client(user, address), limits.of(user), count, now)


def _client(user: str, address: str) -> str:
    return f"user {user}" if user else f"address {bucket(address)}"


def _refuse(wait: float) -> None:
    if wait > 0.0:
        raise Refusal(
            "TOOMANYREQUESTS",
            "too many requests: wait as long as Retry-After says",
            headers={"Retry-After": str(min(math.ceil(wait), MAX_WAIT))},
        )
