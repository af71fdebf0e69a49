"""Limits as a list of writes, decided by `v1_plan` and `v2_plan`, and the loop that makes them."""

from __future__ import annotations

import errno

from holdall.errors import Unsupported
from holdall.linux.cgroups import files
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

MISSING = (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV)


@record
class Write:
    """One value for one file of a controller; `names` are tried in turn until the kernel has one.

    `purpose` is how the user calls it ("memory limit"). `firm`: the user relies on it, so its absence is an error and
    no warning. `later`: the kernel may refuse it (EINVAL) until the following write is made. `optional`: its absence
    is not worth a word. `otherwise` is made when there is none of `names`.
    """

    controller: str
    names: tuple[str, ...]
    value: str
    purpose: str
    firm: bool = False
    later: bool = False
    optional: bool = False
    otherwise: Write | None = None

    def describe(self) -> str:
        """One line for --debug."""
        return f"{self.names[0]} = {self.value}"


def perform(
    writes: Sequence[Write], folder_of: Callable[[str], str | None], required: Collection[str]
) -> tuple[str, ...]:
    """Make the writes; return warnings about limits this kernel does not have.

    Raises Unsupported, naming the controller, when a firm limit of a `required` controller is missing, and OSError for
    values the kernel refuses.
    """
    warnings: list[str] = []
    waiting: list[Write] = []
    for item in writes:
        try:
            _one(item, folder_of, required, warnings)
        except OSError as err:
            if err.errno not in (errno.EINVAL, errno.EBUSY) or not item.later:
                raise
            waiting.append(item)
    for item in waiting:
        _one(item, folder_of, required, warnings)
    return tuple(warnings)


def _one(item: Write, folder_of: Callable[[str], str | None], required: Collection[str], warnings: list[str]) -> None:
    folder = folder_of(item.controller)
    for name in item.names if folder else ():
        try:
            return files.write(f"{folder}/{name}", item.value)
        except OSError as err:
            if err.errno not in MISSING:
                raise
    if item.otherwise is not None:
        return _one(item.otherwise, folder_of, required, warnings)
    if item.firm and item.controller in required:
        raise Unsupported(
            f'{item.purpose}: the "{item.controller}" cgroup controller is not available',
            hint=f"enable the {item.controller} controller on this host, or leave the limit out",
        )
    if not item.optional:
        warnings.append(f"{item.purpose} is ignored: this kernel has no {item.names[0]}")
    return None
