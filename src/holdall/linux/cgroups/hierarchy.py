"""Which version of control groups this host has, found out once: cgroups(7), mountinfo in proc(5)."""

from __future__ import annotations

from holdall.errors import Unsupported
from holdall.linux.cgroups.v1 import DriverV1, Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.linux.cgroups.v2 import DriverV2

MAX_MOUNTINFO = 64 << 20
CONTROLLERS = (
    "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "misc", "net_cls", "net_prio",
    "perf_event", "pids", "rdma",
)  # fmt: skip
NEEDED_FIELDS = 6


def mounts(root: str, mountinfo: str) -> tuple[tuple[Mount, ...], str | None]:
    """The version 1 hierarchies below `root`, each once, and the place of the version 2 tree."""
    found: dict[tuple[str, ...], Mount] = {}
    unified = None
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if not separator or len(fields) < NEEDED_FIELDS or kind[0] not in ("cgroup", "cgroup2"):
            continue
        place = _unescape(fields[4])
        if place != root and not place.startswith(root.rstrip("/") + "/"):
            continue
        if kind[0] == "cgroup2":
            unified = unified or place
            continue
        options = kind[2].split(",") if len(kind) > 2 else []
        names = tuple([name for name in options if name in CONTROLLERS or name.startswith("name=")])
        if names and names not in found:
            found[names] = Mount(names, place)
    return tuple(found.values()), unified


def probe(root: str = "/sys/fs/cgroup", mountinfo: str | None = None) -> DriverV1 | DriverV2:
    """The driver for the hierarchies mounted at or below `root`, by /proc/self/mountinfo or the text given.

    Controllers in version 1 win over a version 2 tree beside them (hybrid). Raises Unsupported when there is neither.
    """
    if mountinfo is None:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mountinfo = file.read(MAX_MOUNTINFO)
    hierarchies, unified = mounts(root, mountinfo)
    if any(not name.startswith("name=") for mount in hierarchies for name in mount.controllers):
        return DriverV1(hierarchies)
    if unified is not None:
        from holdall.linux.cgroups.v2 import DriverV2

        return DriverV2(unified)
    raise Unsupported(f'no cgroup hierarchy is mounted below "{root}"', hint=_advice(root))


def _advice(root: str) -> str:
    try:
        with open("/proc/filesystems") as file:
            known = file.read(1 << 16).split()
    except OSError:
        known = []
    if "cgroup2" in known:
        return f"mount -t cgroup2 none {root}"
    return "this kernel was built without control groups" if "cgroup" not in known else "mount the cgroup hierarchies"


def _unescape(text: str) -> str:
    """Octal escapes of mountinfo: space, tab, newline, backslash."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
