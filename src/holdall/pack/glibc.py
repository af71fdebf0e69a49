"""What glibc opens by itself at run time: name service plugins, the unwinder, the C.UTF-8 locale (nsswitch.conf(5))."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.pack.collect import Collector
    from holdall.pack.elf import Elf

LIBC = "libc.so.6"
LOCALES = ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8")

_PLUGINS = ("libnss_files.so.2", "libnss_dns.so.2")
_UNWINDER = "libgcc_s.so.1"
"""pthread_exit and pthread_cancel abort the process when it cannot be loaded."""

_NSSWITCH = b"""\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
"""


def add(collector: Collector, elf: Elf, libc: str) -> None:
    """Add what belongs to the glibc found at `libc`, once."""
    if "/etc/nsswitch.conf" in collector.plan:
        return
    collector.plan.data("/etc/nsswitch.conf", _NSSWITCH, "tells the c library how to look up names")
    folder = os.path.dirname(libc)
    for name in _PLUGINS:
        collector.library(elf, f"{folder}/{name}")
    collector.library_by_name(elf, _UNWINDER)
    for path in LOCALES:
        if os.path.isdir(path):
            collector.host.tree(path, "locale C.UTF-8")
            collector.env.setdefault("LANG", "C.UTF-8")
