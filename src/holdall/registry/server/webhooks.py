"""Who wants to be told of what happens: the tables `webhook` of the access file."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from holdall.record import record
from holdall.registry.server import tables
from holdall.registry.server.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.jsonval import JsonObject

EVENTS = ("pull", "push", "mount", "delete")
DEFAULT_EVENTS = ("push", "mount", "delete")
MAX_WEBHOOKS = 100
MAX_HEADERS = 32
MAX_SECRET = 4_096
TIMEOUT = 10.0
_KEYS = {"name", "url", "secret", "secret_file", "events", "repositories", "blobs", "headers", "timeout"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_VALUE = re.compile(r"[\x20-\x7e]{0,4096}")
_OURS = {"content-type", "content-length", "host", "transfer-encoding", "connection"}


@record
class Webhook:
    """One endpoint. `name` tells it from others also when its URL changes; `timeout` in seconds."""

    name: str
    url: str
    secret: str = ""
    secret_file: str = ""
    events: tuple[str, ...] = DEFAULT_EVENTS
    repositories: tuple[str, ...] = ("**",)
    blobs: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = TIMEOUT

    def wants(self, action: str, repository: str, *, blob: bool) -> bool:
        """Whether it is to be told."""
        return (
            action in self.events
            and (self.blobs or not blob or action == "mount")
            and any(pattern(glob).fullmatch(repository) for glob in self.repositories)
        )


def parse(obj: JsonObject, folder: str) -> tuple[Webhook, ...]:
    """The tables; files are relative to `folder`. Raises the object's error."""
    made: list[Webhook] = []
    for one in obj.children("webhook", MAX_WEBHOOKS):
        found = _webhook(one, folder)
        if any(other.name == found.name for other in made):
            raise one.error(f'{one.path("name")}: two webhooks are called "{found.name}"')
        made.append(found)
    return tuple(made)


def _webhook(obj: JsonObject, folder: str) -> Webhook:
    tables.only(obj, _KEYS)
    url = obj.need_string("url")
    parts = _split(url)
    if parts is None:
        raise obj.error(f"{obj.path('url')} is no http url without user and password in it")
    name = obj.string("name", parts)
    if not _NAME.fullmatch(name):
        raise obj.error(f"{obj.path('name')} must be a short name of letters, digits and ._-")
    events = obj.strings("events") or DEFAULT_EVENTS
    for event in events:
        if event not in EVENTS:
            raise obj.error(f'{obj.path("events")}: "{event[:50]}" is not one of {", ".join(EVENTS)}')
    file = obj.string("secret_file")
    if file and "secret" in obj:
        raise obj.error(f"{obj.path('secret_file')}: the secret is given twice")
    return Webhook(
        name,
        url,
        obj.string("secret"),
        os.path.join(folder, file) if file else "",
        events,
        obj.strings("repositories") or ("**",),
        obj.boolean("blobs"),
        _headers(obj),
        tables.seconds(obj, "timeout", TIMEOUT, least=1.0),
    )


def _split(url: str) -> str | None:
    """The host of a URL that we are willing to send to, None for others."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    fine = (
        parts.scheme in ("http", "https") and host and "@" not in parts.netloc and url.isascii() and url.isprintable()
    )
    return host if fine and " " not in url else None


def _headers(obj: JsonObject) -> tuple[tuple[str, str], ...]:
    given = obj.string_map("headers") or {}
    for name, value in given.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OURS or not _VALUE.fullmatch(value):
            raise obj.error(f'{obj.path("headers")}: "{name[:64]}" cannot be set like this')
    if len(given) > MAX_HEADERS:
        raise obj.error(f"{obj.path('headers')} has more than {MAX_HEADERS} members")
    return tuple(given.items())


def secret_of(webhook: Webhook) -> bytes:
    """The secret to sign with, empty for none. Raises OSError."""
    if not webhook.secret_file:
        return webhook.secret.encode()
    with open(webhook.secret_file, "rb") as file:
        return file.read(MAX_SECRET).strip()
