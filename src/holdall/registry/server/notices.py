"""What happened, as others are told of it: events in the form of distribution's notifications.

Counterpart: distribution's docs/content/about/notifications.md, media type
application/vnd.docker.distribution.events.v1+json.
"""

from __future__ import annotations

import time
import uuid
from urllib.parse import quote

from holdall.oci.jsonval import dumps
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdall.registry.server.access import Access
    from holdall.registry.server.door import Guest
    from holdall.registry.server.exchange import Exchange
    from holdall.registry.server.meters import Meters
    from holdall.registry.server.spool import Spool

ENVELOPE = "application/vnd.docker.distribution.events.v1+json"
BLOB = "application/octet-stream"
MAX_AGENT = 512


@record
class Happening:
    """Something done to a repository. `origin` is where a blob was mounted from; a deletion may know a tag only."""

    action: str
    digest: str = ""
    media_type: str = BLOB
    size: int = 0
    tag: str = ""
    origin: str = ""


class Herald:
    """Notes what happened for the webhooks that want to know. `instance` tells this server from others."""

    def __init__(
        self, access: Access, spool: Spool, meters: Meters, complain: Callable[[str], None], instance: str
    ) -> None:
        self._access = access
        self._spool = spool
        self._meters = meters
        self._complain = complain
        self._instance = instance

    def tell(self, exchange: Exchange, guest: Guest, happened: Sequence[Happening]) -> None:
        """Note it; it is in the kernel's hands when this returns. A full disk loses it, never the request."""
        repository = exchange.route.repository
        lines = []
        for one in happened:
            blob = one.media_type == BLOB
            names = [
                hook.name for hook in self._access.settings.webhooks if hook.wants(one.action, repository, blob=blob)
            ]
            if names:
                lines.append(dumps({"for": names, "event": self._event(exchange, guest, one)}) + b"\n")
        if not lines:
            return
        try:
            lost = self._spool.append(b"".join(lines))
        except OSError as err:
            lost = len(lines)
            self._complain(f"events cannot be noted: {err}")
        self._meters.add("events_noted", len(lines))
        if lost:
            self._meters.add("events_lost", lost)

    def _event(self, exchange: Exchange, guest: Guest, one: Happening) -> dict[str, object]:
        request, repository, now = exchange.request, exchange.route.repository, time.time()
        target: dict[str, object] = {}
        if one.digest:
            kind = "blobs" if one.media_type == BLOB else "manifests"
            url = f"{guest.caller.url}/v2/{quote(repository)}/{kind}/{one.digest}"
            if one.action != "delete":
                target = {"mediaType": one.media_type, "size": one.size, "length": one.size, "url": url}
            target["digest"] = one.digest
        target["repository"] = repository
        if one.origin:
            target["fromRepository"] = one.origin
        if one.tag:
            target["tag"] = one.tag
        return {
            "id": str(uuid.uuid4()),
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z",
            "action": one.action,
            "target": target,
            "request": {
                "id": str(uuid.uuid4()),
                "addr": guest.caller.address,
                "host": guest.caller.host,
                "method": request.method,
                "useragent": request.headers.get("User-Agent", "")[:MAX_AGENT].encode("utf-8", "replace").decode(),
            },
            "actor": {"name": guest.visitor.user},
            "source": {"addr": guest.caller.host, "instanceID": self._instance},
        }
