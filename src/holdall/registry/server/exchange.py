"""One request under way: what it names, who sends it, what the server gives it to work with."""

from __future__ import annotations

from holdall.record import record
from holdall.registry.server.notices import BLOB, Happening
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from holdall.registry.server.hashing import Hashes, NotedHashes
    from holdall.registry.server.route import Route
    from holdall.registry.server.shelf import Shelf
    from holdall.registry.server.visitor import Visitor

LEASE_SECONDS = 3_600.0
MAX_BLOB = 1 << 40
VERSION_HEADER = "Docker-Distribution-API-Version"
VERSION = "registry/2.0"


@record
class Bounds:
    """The largest blob in bytes, and the seconds a blob that nobody uses yet is safe from collection."""

    max_blob: int = MAX_BLOB
    lease: float = LEASE_SECONDS


class Exchange:
    """A request and its surroundings. `received` counts the bytes of its body, `spent` those already charged.

    `happened` is what a handler did to the repository.
    """

    __slots__ = (
        "_charge", "happened", "hashes", "lease", "max_blob", "received", "request", "route", "shelf", "spent",
        "visitor",
    )  # fmt: skip

    def __init__(
        self,
        request: web.BaseRequest,
        route: Route,
        visitor: Visitor,
        shelf: Shelf,
        hashes: Hashes | NotedHashes,
        bounds: Bounds,
        charge: Callable[[int], None] | None = None,
    ) -> None:
        self.request = request
        self.route = route
        self.visitor = visitor
        self.shelf = shelf
        self.hashes = hashes
        self.max_blob = bounds.max_blob
        self.lease = bounds.lease
        self.received = 0
        self.spent = 0
        self.happened: list[Happening] = []
        self._charge = charge

    def note(
        self, action: str, digest: str, size: int, media_type: str = BLOB, tag: str = "", origin: str = ""
    ) -> None:
        """Something was done that webhooks may want to know."""
        self.happened.append(Happening(action, digest, media_type, size, tag, origin))

    def spend(self, octets: int) -> None:
        """Count bytes against the client's limit while they go, not only at the end."""
        self.spent += octets
        if self._charge is not None:
            self._charge(octets)

    @property
    def is_head(self) -> bool:
        """Whether only headers are wanted."""
        return self.request.method == "HEAD"

    def query(self, name: str) -> str:
        """A query parameter, empty when absent."""
        value: str = self.request.query.get(name, "")
        return value

    def count(self, name: str, largest: int) -> int | None:
        """A query parameter that is a number, at most `largest`; None when absent. Raises Refusal."""
        text = self.query(name)
        if not text:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise Refusal("PAGINATION_NUMBER_INVALID", f'"{name}" must be a number that is not negative')
        return min(int(text), largest)

    async def expects_body(self) -> None:
        """Tell a client that waits for it to send the body (RFC 9110 section 10.1.1: never one of HTTP/1.0)."""
        waits = self.request.headers.get("Expect", "").lower() == "100-continue"
        if waits and self.request.version >= (1, 1):
            writer = self.request.writer
            await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.output_size = 0
