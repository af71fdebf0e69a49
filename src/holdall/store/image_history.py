"""`docker history` of a stored image: its configuration's steps joined with the sizes of the layers they made."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.store.images import ImageStore
    from holdall.store.records import ImageRecord


@record
class Step:
    """One step; `image` is the image's ID for the newest, "" (Docker's `<missing>`) below. `created` is RFC 3339."""

    image: str
    created: str
    created_by: str
    comment: str
    size: int
    tags: tuple[str, ...] = ()


def steps(store: ImageStore, record: ImageRecord) -> tuple[Step, ...]:
    """Newest first; an image without history has one step for each layer. Raises BlobNotFound, StoreCorrupt."""
    config = store.config(record)
    sizes = dict(store.database.all("SELECT diff_id, size FROM layers"))
    layers = [int(sizes.get(diff_id, 0)) for diff_id in record.layers]
    found = []
    if config.history:
        position = iter(layers)
        for step in config.history:
            size = 0 if step.empty_layer else next(position, 0)
            found.append(Step("", step.created, step.created_by, step.comment, size))
    else:
        found = [Step("", config.created, "", "", size) for size in layers]
    if found:
        last = found[-1]
        found[-1] = Step(record.id, last.created, last.created_by, last.comment, last.size, record.tags)
    return tuple(reversed(found))
