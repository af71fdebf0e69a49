"""etc/hosts, etc/hostname and etc/resolv.conf of a container, written before each start."""

from __future__ import annotations

from holdall.engine.names import short
from holdall.network import files
from holdall.supervisor.durable import write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.config import StoredConfig
    from holdall.engine.engine import Engine
    from holdall.network.plan import Attachment
    from holdall.store.containers import ContainerRow

MAX_FILE = 1 << 20


def read_text(path: str) -> str:
    """A small text file of the host; "" when it is missing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MAX_FILE)
    except OSError:
        return ""
