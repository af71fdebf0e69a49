"""The few files that every image should have, and the links of a merged /usr."""

from __future__ import annotations

import os

from holdall.pack.plan import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.pack.plan import Plan

USERS = ("root", "nobody")
GROUPS = ("root", "nogroup")

_REASON = "every image has it"
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_GROUP = b"root:x:0:\nnogroup:x:65534:\n"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def add(plan: Plan) -> None:
    """Add them to a plan that holds everything else."""
    plan.data("/etc/passwd", _PASSWD, _REASON)
    plan.data("/etc/group", _GROUP, _REASON)
    plan.directory("/tmp", "temporary files", 0o1777)
    for name in ("/dev", "/proc", "/sys"):
        plan.directory(name, "a mount point of every container")
    plan.directory("/root", "home of root", 0o755 if "/root" in plan else 0o700)
    for name in _MERGED:
        link = f"/{name}"
        if os.path.islink(link) and link not in plan:
            item = plan.get(plan.resolve(f"{link}/../{os.readlink(link)}"))
            if item is not None and item.kind is Kind.DIRECTORY:
                plan.symlink(link, os.readlink(link), "as on this machine")
