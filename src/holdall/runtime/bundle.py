"""Make a RuntimeSpec with Docker's defaults from a few typed wishes."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.oci.runtime_spec import Device, Mount, Rlimit, RuntimeSpec

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHM_SIZE = 64 << 20


@record
class Wishes:
    """What a container shall be like. Everything not said is as Docker has it.

    `network`, `pid`, `ipc`, `uts`, `cgroupns` are "" or "new" (own), "host", or the path of a namespace file to join.
    `cap_add`/`cap_drop` are Docker's names ("ALL", "NET_ADMIN", "CAP_NET_ADMIN"). `shm_size` is in bytes;
    `shm_path` binds an existing folder at /dev/shm instead. `mounts` come after the default ones, in order.
    `unmasked` ("systempaths=unconfined") leaves out masked and read-only paths. `umask` None is 0022.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = (DEFAULT_PATH,)
    cwd: str = "/"
    terminal: bool = False
    console_size: tuple[int, int] | None = None
    hostname: str = ""
    domainname: str = ""
    network: str = ""
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    cgroupns: str = ""
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    read_only: bool = False
    unmasked: bool = False
    shm_size: int = DEFAULT_SHM_SIZE
    shm_path: str = ""
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    sysctl: Mapping[str, str] = {}
    group_add: tuple[int, ...] = ()
    umask: int | None = None
    oom_score_adj: int | None = None
    annotations: Mapping[str, str] = {}
    cgroups_path: str = ""
    resources: Mapping[str, object] | None = None


def build(wishes: Wishes) -> RuntimeSpec:
    """The config.json for `wishes`. Raises InvalidOption for an unknown capability."""
    raise NotImplementedError


def exec_process(base: RuntimeSpec, args: tuple[str, ...], *, privileged: bool = False) -> object:
    """Docker's exec: the container's own process with other arguments; privileged gives all capabilities."""
    raise NotImplementedError
