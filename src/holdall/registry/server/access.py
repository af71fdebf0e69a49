"""What decides who is let in: password file, access file, robot tokens and keys, all read again when they change."""

from __future__ import annotations

import time

from holdall.errors import HoldallError
from holdall.record import replace
from holdall.registry.server import accessfile, robots, rules
from holdall.registry.server.documents import Watched, change
from holdall.registry.server.identity import People
from holdall.registry.server.passwords import Passwords, fingerprint
from holdall.registry.server.robots import Robots
from holdall.registry.server.token_settings import KEYS, TokenSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.registry.server.accessfile import AccessFile
    from holdall.registry.server.shelf import Shelf
    from holdall.registry.server.storage import Catalog
    from holdall.registry.server.tokens import Tokens

RELOAD_SECONDS = 1.0
HURRY_SECONDS = 0.02


class Access:
    """The state. `access` is the TOML file; `htpasswd` or `tokens` alone will do; without, everybody may do everything.

    `attach` gives it the registry's storage, where robot tokens and keys are, before the first request.
    """

    def __init__(
        self, *, access: str = "", htpasswd: str = "", anonymous_pull: bool = False, tokens: bool = False
    ) -> None:
        self._access = access
        self._htpasswd = htpasswd
        self._anonymous_pull = anonymous_pull
        self._tokens_wanted = tokens
        self._seen: tuple[str, ...] = ()
        self._next_look = 0.0
        self._shelf: Shelf | None = None
        self._robots: Watched | None = None
        self._keys: Watched | None = None
        self.people: People | None = None
        self.tokens: Tokens | None = None
        self.settings = accessfile.AccessFile(rules.Rules(()))
        self.load()

    @property
    def open(self) -> bool:
        """Whether there are no users at all."""
        return self.people is None

    def load(self) -> None:
        """Read the files. Raises OSError, InvalidInput, Unsupported; then what was known stays."""
        if not self._access and not self._htpasswd and not self._tokens_wanted:
            return
        own = fingerprint(self._access)
        found = self._read()
        seen = (own, *self._fingerprints(found)[1:])  # each as it was before it is read: it may change meanwhile
        passwords = Passwords.read(found.htpasswd) if found.htpasswd else Passwords({})
        known = Robots() if self.people is None else self.people.robots
        tokens = self._make_tokens(found)
        self.settings, self.tokens, self._seen = found, tokens, seen
        self.people = People(found.rules, passwords, known)

    def _read(self) -> AccessFile:
        if self._access:
            found = accessfile.read(self._access)
        else:
            found = accessfile.AccessFile(rules.plain(anonymous_pull=self._anonymous_pull))
        if self._htpasswd:
            found = replace(found, htpasswd=self._htpasswd)
        return replace(found, tokens=TokenSettings()) if self._tokens_wanted and found.tokens is None else found

    def _fingerprints(self, found: AccessFile) -> tuple[str, ...]:
        return tuple([fingerprint(path) for path in (self._access, *found.files)])

    def _make_tokens(self, found: AccessFile) -> Tokens | None:
        """None as long as there are no keys yet; imported all the same, once for all processes that will be forked."""
        if found.tokens is None:
            return None
        from holdall.registry.server.tokens import Tokens

        if self._keys is None or not self._keys.raw:
            return None
        return Tokens(found.tokens, found.issuers, self._keys.raw)

    def attach(self, shelf: Shelf) -> None:
        """Take robot tokens and keys from this storage. Raises what it raises, and StoreCorrupt."""
        if self.people is not None:
            self._shelf = shelf
            self._robots, self._keys = Watched(shelf.catalog, robots.DOCUMENT), Watched(shelf.catalog, KEYS)
            self._look(self.people, self._robots, self._keys, shelf.catalog)

    def _look(self, people: People, known: Watched, keys: Watched, catalog: Catalog) -> None:
        """Read the documents that changed; make the first key when there is none."""
        if known.look():
            people.robots = Robots(known.raw)
        if self.settings.tokens is None:
            return
        changed = keys.look()
        if not keys.raw:
            from holdall.registry.server import signing

            change(catalog, KEYS, lambda raw: signing.first(raw, time.time()))
            changed = keys.look()
        if changed or self.tokens is None:
            self.tokens = self._make_tokens(self.settings)

    async def reload(self, note: Callable[[str], None], *, hurry: bool = False) -> None:
        """Read again what changed since, at most once a second (in a hurry fifty times); `note` is told of failures."""
        now = time.monotonic()
        early = RELOAD_SECONDS - HURRY_SECONDS if hurry else 0.0
        if self.people is None or now < self._next_look - early:
            return
        self._next_look = now + RELOAD_SECONDS
        seen = self._fingerprints(self.settings)
        try:
            if seen != self._seen:
                self.load()
            if self._shelf is not None and self._robots is not None and self._keys is not None:
                await self._shelf.read(self._look, self.people, self._robots, self._keys, self._shelf.catalog)
        except (HoldallError, OSError) as err:
            self._seen = seen
            note(f"the access rules stay as they were: {err}")
