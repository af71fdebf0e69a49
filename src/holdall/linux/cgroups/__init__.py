"""Control groups, versions 1 and 2 behind one interface: see cgroups(7) and the kernel's admin-guide.

`driver()` gives the host's driver; `driver().create("holdall", ID)` a group to `apply` limits to, to put processes in,
to read, freeze, kill and remove. Everything may be repeated, and `leftovers` names what a crash left behind.
"""

from __future__ import annotations

from holdall.linux.cgroups.hierarchy import probe
from holdall.linux.cgroups.resources import DeviceRule, Resources, Throttle, WeightedDevice
from holdall.linux.cgroups.stats import Pressure, Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.linux.cgroups.v1 import DriverV1
    from holdall.linux.cgroups.v2 import DriverV2

    Driver = DriverV1 | DriverV2

__all__ = ["DeviceRule", "Pressure", "Resources", "Stats", "Throttle", "WeightedDevice", "driver", "probe"]

_found: list[Driver] = []


def driver() -> Driver:
    """The driver for this host's hierarchies, looked up once per process. Raises Unsupported when none is mounted."""
    if not _found:
        _found.append(probe())
    return _found[0]
