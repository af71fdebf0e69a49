"""A container as it was created: the JSON in its row, from which every start derives its files anew."""

from __future__ import annotations

import json

from holdall.engine.options import CreateOptions, from_json, to_json
from holdall.engine.resolve import Resolved
from holdall.errors import StoreCorrupt
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class MountPoint:
    """One resolved mount: `source` is a host path ("" for tmpfs), `name` the volume's name or ""."""

    kind: str
    source: str
    target: str
    name: str = ""
    read_only: bool = False
    propagation: str = ""
    recursive: bool = True
    anonymous: bool = False
    size: int = 0
    mode: int | None = None
    options: tuple[str, ...] = ()


@record
class StoredConfig:
    """What the engine keeps of a container beside its row's own columns."""

    options: CreateOptions
    resolved: Resolved
    mounts: tuple[MountPoint, ...]
    platform: str

    def dump(self) -> str:
        """JSON text for the row."""
        return json.dumps(
            {
                "version": 1,
                "options": to_json(self.options),
                "resolved": to_json(self.resolved),
                "mounts": [to_json(mount) for mount in self.mounts],
                "platform": self.platform,
            },
            separators=(",", ":"),
        )

    @classmethod
    def load(cls, text: str) -> StoredConfig:
        """Read what `dump` wrote. Raises StoreCorrupt."""
        try:
            data = json.loads(text)
            return cls(
                from_json(data["options"]),
                Resolved(**_tuples(data["resolved"])),
                tuple([MountPoint(**_tuples(mount)) for mount in data["mounts"]]),
                data["platform"],
            )
        except (ValueError, KeyError, TypeError) as err:
            raise StoreCorrupt(f"a container's stored configuration cannot be read: {err}") from err


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
