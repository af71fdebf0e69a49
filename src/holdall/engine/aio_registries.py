"""`AsyncEngine.registries`."""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from holdall.engine.engine import Engine
    from holdall.engine.hauling import HaulOptions
    from holdall.engine.registries import Login
    from holdall.engine.transfer import TransferOptions
    from holdall.events import Reporter

to_thread = asyncio.to_thread


class AsyncRegistries:
    """See `Registries`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def login(
        self, registry: str = "docker.io", *, username: str, password: str, options: TransferOptions | None = None
    ) -> Login:
        """See `Registries.login`."""
        return await to_thread(
            self._engine.registries.login, registry, username=username, password=password, options=options
        )

    async def logout(self, registry: str = "docker.io") -> bool:
        """See `Registries.logout`."""
        return await to_thread(self._engine.registries.logout, registry)

    async def copy(
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
        """See `Registries.copy`."""
        return await to_thread(
            self._engine.registries.copy, source, target, tags=tags, everything=everything, platform=platform,
            options=options, reporter=reporter,
        )  # fmt: skip

    async def inspect(
        self, place: str, platform: str | None = None, *, tags: bool = True, options: TransferOptions | None = None
    ) -> dict[str, Any]:
        """See `Registries.inspect`."""
        return await to_thread(self._engine.registries.inspect, place, platform, tags=tags, options=options)

    async def raw(
        self, place: str, platform: str | None = None, *, config: bool = False, options: TransferOptions | None = None
    ) -> bytes:
        """See `Registries.raw`."""
        return await to_thread(self._engine.registries.raw, place, platform, config=config, options=options)

    async def tags(self, name: str, *, options: TransferOptions | None = None) -> tuple[str, ...]:
        """See `Registries.tags`."""
        return await to_thread(self._engine.registries.tags, name, options=options)

    async def delete(self, name: str, *, manifest: bool = False, options: TransferOptions | None = None) -> str:
        """See `Registries.delete`."""
        return await to_thread(self._engine.registries.delete, name, manifest=manifest, options=options)
