"""Where things live: the store (`--root`), transient state (`--run-root`) and the names derived from them.

Everything that depends on who runs Holdall (root or an ordinary user) is decided here and nowhere else.
"""

from __future__ import annotations

import os

from holdall.record import record

SYSTEM_ROOT = "/var/lib/holdall"
SYSTEM_RUN_ROOT = "/run/holdall"


def default_root(environ: dict[str, str] | None = None) -> str:
    """Path of the store: $HOLDALL_ROOT, else /var/lib/holdall for root, $XDG_DATA_HOME/holdall for a user."""
    env = os.environ if environ is None else environ
    if env.get("HOLDALL_ROOT"):
        return os.path.abspath(env["HOLDALL_ROOT"])
    if os.geteuid() == 0:
        return SYSTEM_ROOT
    data = env.get("XDG_DATA_HOME") or os.path.join(env.get("HOME", "/"), ".local/share")
    return os.path.join(data, "holdall")


def default_run_root(root: str, environ: dict[str, str] | None = None) -> str:
    """Path of transient state: $HOLDALL_RUN_ROOT, else one folder per store under /run or $XDG_RUNTIME_DIR."""
    env = os.environ if environ is None else environ
    if env.get("HOLDALL_RUN_ROOT"):
        return os.path.abspath(env["HOLDALL_RUN_ROOT"])
    if os.geteuid() == 0:
        base = SYSTEM_RUN_ROOT
    else:
        base = os.path.join(env.get("XDG_RUNTIME_DIR") or f"/tmp/holdall-run-{os.geteuid()}", "holdall")
    return base if root == default_root({}) else os.path.join(base, store_key(root))


def store_key(root: str) -> str:
    """Eight hex digits that tell stores on one host apart (in names of bridges, cgroups and nft tables)."""
    import zlib

    path = os.path.realpath(root).encode(errors="surrogateescape")
    return f"{zlib.crc32(path):08x}"


@record
class Paths:
    """The folders of one store. All are absolute paths as str."""

    root: str
    run_root: str

    @classmethod
    def choose(cls, root: str | None = None, run_root: str | None = None) -> Paths:
        """Resolve the two roots from arguments, environment and the caller's uid, in that order."""
        chosen = os.path.abspath(root) if root else default_root()
        return cls(chosen, os.path.abspath(run_root) if run_root else default_run_root(chosen))

    @property
    def key(self) -> str:
        """`store_key` of the root."""
        return store_key(self.root)

    @property
    def database(self) -> str:
        """The SQLite file."""
        return self.root + "/holdall.db"

    @property
    def blobs(self) -> str:
        """blobs/ of the OCI image layout that the root is."""
        return self.root + "/blobs"

    @property
    def layers(self) -> str:
        """Unpacked or indexed layers, one folder per diff-id."""
        return self.root + "/layers"

    @property
    def containers(self) -> str:
        """One folder per container ID."""
        return self.root + "/containers"

    @property
    def volumes(self) -> str:
        """Named volumes: NAME/_data."""
        return self.root + "/volumes"

    @property
    def ingest(self) -> str:
        """Downloads under way. Whatever no lock holds may be deleted."""
        return self.root + "/ingest"

    @property
    def cache(self) -> str:
        """Things that can be made again: compiled seccomp filters, for one."""
        return self.root + "/cache"

    @property
    def layer_mounts(self) -> str:
        """Where layers are mounted: one folder per layer, named by the hex digits of its diff-id."""
        return self.run_root + "/layers"

    @property
    def socket(self) -> str:
        """The supervisor's unix socket."""
        return self.run_root + "/supervisor.sock"

    @property
    def cgroup(self) -> str:
        """Name of the store's cgroup below each hierarchy's root."""
        return "holdall" if self.root == SYSTEM_ROOT else f"holdall-{self.key}"

    def container(self, container_id: str) -> str:
        """Folder of one container."""
        return f"{self.root}/containers/{container_id}"

    def container_run(self, container_id: str) -> str:
        """Transient folder of one container (FIFOs, sockets); gone after a reboot."""
        return f"{self.run_root}/containers/{container_id}"
