"""Kernel parameters that belong to a container's own namespaces; every other one is the whole machine's: proc(5)."""

from __future__ import annotations

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

IPC = "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split()
UTS = ("domainname",)


def namespace(name: str) -> str:
    """Type of the namespace that has the parameter (written with dots or slashes), "" for the host's."""
    top, _, rest = name.replace("/", ".").partition(".")
    if top == "net":
        return "network"
    if (top == "kernel" and rest in IPC) or (top == "fs" and rest.startswith("mqueue.")):
        return "ipc"
    return "uts" if top == "kernel" and rest in UTS else ""


def check(names: Iterable[str], own: Collection[str]) -> None:
    """Raises InvalidOption for a parameter of none of the namespaces that are the container's `own`."""
    for name in names:
        if namespace(name) not in own:
            raise InvalidOption(
                f"the kernel parameter \"{name}\" is not the container's own but the host's",
                hint="those of namespaces can be set: net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*",
            )
