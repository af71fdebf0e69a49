"""Which cgroup hierarchies the host has mounted (cgroups(7), mountinfo in proc(5)), for mounts of type cgroup."""

from __future__ import annotations

from holdall.record import record

MAX_FILE = 1 << 20
_NOT_CONTROLLERS = frozenset({"rw", "ro", "xattr", "noprefix", "clone_children", "none", "cpuset_v2_mode"})


@record
class Hierarchy:
    """One v1 hierarchy: `data` are its mount options, `own_path` our own cgroup as a folder of the host."""

    folder: str
    data: str
    own_path: str
    aliases: tuple[str, ...] = ()


@record
class Hierarchies:
    """The host's layout: only the unified one, or the v1 ones by name."""

    unified: bool
    named: tuple[Hierarchy, ...] = ()


def read() -> Hierarchies:
    """The layout as this process sees it."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = file.read(MAX_FILE)
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        own = file.read(MAX_FILE)
    return parse(mounts, own)


def parse(mountinfo: str, cgroup: str) -> Hierarchies:
    """The layout from the texts of /proc/self/mountinfo and /proc/self/cgroup."""
    own: dict[str, str] = {}
    for line in cgroup.splitlines():
        _number, names, path = line.split(":", 2)
        own[names] = path
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        if not separator or not after.startswith("cgroup "):
            continue
        target = before.split(" ")[4]
        words = [word for word in after.split(" ")[2].split(",") if word not in _NOT_CONTROLLERS and "=" not in word]
        named = [word for word in after.split(" ")[2].split(",") if word.startswith("name=")]
        key = ",".join(named or words)
        folder = target.rpartition("/")[2]
        if key and key not in found:
            data = "none," + key if named and not words else key
            aliases = tuple([word for word in words if word != folder]) if len(words) > 1 else ()
            found[key] = Hierarchy(folder, data, target + own.get(key, "/").rstrip("/"), aliases)
    return Hierarchies(not found, tuple(found.values()))
