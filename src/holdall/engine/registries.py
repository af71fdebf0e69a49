"""Registries: credentials for them (in Docker's config.json), and what is at them."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from holdall.engine.engine import Engine
    from holdall.engine.hauling import HaulOptions
    from holdall.engine.transfer import TransferOptions
    from holdall.events import Reporter

DEFAULT = "docker.io"


@record
class Login:
    """A successful login: `warning` is what to tell about where the password was stored, "" for nothing."""

    registry: str
    warning: str = ""


class Registries:
    """Log in to registries and out of them, look at what they have, copy between them and files."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def login(
        self, registry: str = DEFAULT, *, username: str, password: str, options: TransferOptions | None = None
    ) -> Login:
        """Check the credentials with the registry, then store them. Raises Unauthorized, RegistryError."""
        from holdall.engine.transfer import client_options, run
        from holdall.registry import login as client

        warning = run(client.login(registry, username, password, options=client_options(options)))
        return Login(registry, warning or "")

    def logout(self, registry: str = DEFAULT) -> bool:
        """Forget the credentials; False when there were none."""
        from holdall.registry import login as client

        return client.logout(registry)

    def copy(
        self,
        source: str,
        target: str,
        *,
        tags: Sequence[str] = (),
        everything: bool = False,
        platform: str | None = None,
        options: HaulOptions | None = None,
        reporter: Reporter | None = None,
    ) -> str:
        """Copy an image between registries, layouts (oci:FOLDER[:NAME]) and archives (oci-archive:FILE[:NAME],
        docker-archive:FILE[:NAME]), byte for byte; the digest. Of several platforms `everything`, or one.
        """
        from holdall.engine.hauling import copy
        from holdall.events import silent

        done = copy(
            self._engine,
            source,
            target,
            tags=tags,
            everything=everything,
            platform=platform,
            options=options,
            reporter=reporter or silent,
        )
        return str(done.digest)

    def inspect(
        self, place: str, platform: str | None = None, *, tags: bool = True, options: TransferOptions | None = None
    ) -> dict[str, Any]:
        """What an image at a registry, in a layout or in an archive is, without pulling it."""
        from holdall.engine.hauling import inspect

        return inspect(place, platform, tags=tags, options=options)

    def raw(
        self, place: str, platform: str | None = None, *, config: bool = False, options: TransferOptions | None = None
    ) -> bytes:
        """An image's manifest or index as it is, a platform's manifest, or its configuration."""
        from holdall.engine.hauling import raw

        return raw(place, platform, config=config, options=options)

    def tags(self, name: str, *, options: TransferOptions | None = None) -> tuple[str, ...]:
        """All tags of a repository."""
        from holdall.engine.hauling import tags

        return tags(name, options=options)

    def delete(self, name: str, *, manifest: bool = False, options: TransferOptions | None = None) -> str:
        """Delete a tag, or a manifest with all its tags; the manifest's digest if it went, "" if only the tag."""
        from holdall.engine.hauling import delete

        return delete(name, manifest=manifest, options=options)
