"""Progress events: what long work tells whoever asked for it. Producers know nothing of terminals.

A `Reporter` is any callable that takes an `Event`; `silent` is the one that ignores them. Renderers live in `cli/`.
"""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


@record
class Event:
    """One step of progress.

    `subject` is what is worked on (a short digest, a file, a container name); `action` is a present participle
    or a past participle when finished ("downloading", "verified", "unpacking", "pushed", "already exists").
    `current` and `total` count bytes, total 0 when unknown. `done` marks the subject's last event.
    """

    subject: str
    action: str
    current: int = 0
    total: int = 0
    done: bool = False
    message: str = ""


if TYPE_CHECKING:
    Reporter = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Ignore the event."""
