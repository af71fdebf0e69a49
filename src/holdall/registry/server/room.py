"""Quotas as pushes meet them: refused as soon as it is plain that there is no room, not after the last byte."""

from __future__ import annotations

from holdall.registry.server.catalog_values import OverQuota

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.catalog_values import Bound, Usage
    from holdall.registry.server.exchange import Exchange


class Room:
    """How many bytes the quotas of a repository leave: `octets`, None when nothing bounds them.

    A look only: what counts is decided when a blob or manifest is placed.
    """

    def __init__(self, octets: int | None, bound: Bound | None = None, used: Usage | None = None) -> None:
        self.octets = octets
        self._bound = bound
        self._used = used

    def check(self, wanted: int) -> None:
        """Raise OverQuota when so many bytes, one at least, are too many."""
        if self.octets is not None and max(wanted, 1) > self.octets:
            raise self.refusal(wanted)

    def refusal(self, wanted: int) -> OverQuota:
        """The error for so many bytes."""
        assert self._bound is not None
        assert self._used is not None
        return OverQuota(self._bound.name, "bytes", self._used.octets, wanted, self._bound.octets)


async def room(exchange: Exchange) -> Room:
    """What is left for the request's repository; a blob that it has already needs none."""
    shelf, found, repository = exchange.shelf, Room(None), exchange.route.repository
    bounds, digest = shelf.bounds(repository), exchange.query("digest")
    if bounds and digest and await shelf.read(shelf.catalog.blob_size, repository, digest) is not None:
        return found
    for bound in bounds:
        if bound.octets >= 0:
            used = await shelf.read(shelf.catalog.usage, bound.globs)
            left = max(bound.octets - used.octets, 0)
            if found.octets is None or left < found.octets:
                found = Room(left, bound, used)
    return found
