"""The mounts of a RUN step: each becomes a mount of its container, or something mounted aside for it.

What has to lie on disk for them is in the container's own folder and goes with it; secrets are in memory files of this
process, which the container's first process reads (runtime/asides.py); locks and sockets end with this process.
"""

from __future__ import annotations

import os
from functools import partial

from holdall.build import binds, cache_mounting
from holdall.engine.config import MountPoint
from holdall.errors import DockerfileError
from holdall.runtime.launch import SECRET_NAME, Aside, Overlay, SecretFile
from holdall.store import cache_folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from holdall.build.binds import Bound
    from holdall.build.options import BuildOptions
    from holdall.build.running import RunWork
    from holdall.dockerfile.mount import Mount
    from holdall.engine.engine import Engine
    from holdall.store.cache_mounts import CacheMounts, Given

SECRETS = "secrets"
MODE_SECRET, MODE_SOCKET, MODE_CACHE = 0o400, 0o600, 0o755


class StepMounts:
    """The mounts of one step, once `claim`, `plan` and `make` were called. `stack` owns locks, descriptors, sockets."""

    def __init__(
        self, engine: Engine, work: RunWork, options: BuildOptions, container_id: str, stack: ExitStack,
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        """`check` is called during long work and raises when the build is to end."""
        self.points: list[MountPoint] = []
        self.asides: list[Aside] = []
        self.environ: list[tuple[str, str]] = []
        self._engine = engine
        self._work = work
        self._options = options
        self._id = container_id
        self._stack = stack
        self._check = check
        self._folder = engine.paths.container(container_id) + "/step"
        self._secrets: list[SecretFile] = []
        self._given: dict[str, str] = {}
        self.kept: list[Given] = []
        """The folders of cache mounts that the command may write to."""
        self._made: list[Callable[[], None]] = []

    def claim(self, folders: CacheMounts) -> None:
        """Get the folders of the cache mounts, waiting for them where need be; always in one order."""
        asked: dict[str, int] = {}
        written: set[str] = set()
        for number, mount in enumerate(self._work.step.mounts):
            if mount.type == "cache":
                name = self._cache_name(number)
                asked.setdefault(name, number)
                if not mount.readonly:
                    written.add(name)
        for name, number in sorted(asked.items()):
            mount = self._work.step.mounts[number]
            path = cache_folders.path_of(self._engine.paths, name)
            imports = self._work.imported
            imported = imports(name) if imports is not None and cache_mounting.is_empty(path) else None
            make = partial(self._fill, number, imported)
            given = self._stack.enter_context(folders.given(name, mount.sharing, make, refill=imported is not None))
            given.note(self._id)
            self._given[name] = given.path
            if name in written:
                self.kept.append(given)

    def plan(self) -> None:
        """Decide on all of them. Raises DockerfileError for a secret or an agent that is required and not given."""
        for number, mount in enumerate(self._work.step.mounts):
            kind = mount.type
            if kind == "tmpfs":
                self.points.append(MountPoint("tmpfs", "", mount.target, size=mount.size, options=("exec",)))
            elif kind == "bind":
                self._bind(number, mount, self._work.binds[number])
            elif kind == "cache":
                path = self._given[self._cache_name(number)]
                self.points.append(MountPoint("bind", path, mount.target, read_only=mount.readonly))
            elif kind == "secret":
                self._secret(mount)
            else:
                self._ssh(number, mount)
        if self._work.step.script:
            self._script(self._work.step.script)
        if self._secrets:
            self.asides.append(Aside(self._place(SECRETS), files=tuple(self._secrets)))

    def make(self) -> None:
        """Put what the mounts need into the container's folder, which exists by now. Raises OSError."""
        os.makedirs(self._folder, 0o700, exist_ok=True)
        for aside in self.asides:
            os.makedirs(aside.place, 0o700)
        for make in self._made:
            make()

    def _place(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _bind(self, number: int, mount: Mount, bound: Bound) -> None:
        place = self._place(f"bind{number}")
        snapshots = self._engine.containers.snapshots
        if not bound.layers:
            self._made.append(lambda: bound.lay_out(place, self._check))
            self.points.append(MountPoint("bind", place, mount.target, read_only=mount.readonly))
            return
        if snapshots.name == "copy":
            self._made.append(lambda: self._copied(bound, place))
        else:
            upper = work = ""
            if not mount.readonly:
                upper, work = place + "-upper", place + "-work"
                self._made += [partial(os.mkdir, one, 0o755) for one in (upper, work)]
            root = Overlay(snapshots.lowers(bound.layers), upper, work, mounts=snapshots.mounts(bound.layers))
            self.asides.append(Aside(place, root))
        source = f"{place}/{bound.path}" if bound.path else place
        self.points.append(MountPoint("bind", source, mount.target, read_only=mount.readonly))

    def _copied(self, bound: Bound, place: str) -> None:
        """Without overlayfs the layers are copied, as the container's own root is."""
        from holdall.store.snapshots.copying import copy_stack

        os.mkdir(place, 0o755)
        with self._engine.containers.snapshots.view(bound.layers) as lowers:
            copy_stack(lowers, place)

    def _cache_name(self, number: int) -> str:
        return binds.cache_name(self._work.step.mounts[number], self._work.binds.get(number))

    def _fill(self, number: int, imported: Callable[[str], bool] | None, path: str) -> None:
        mount = self._work.step.mounts[number]
        bound = self._work.binds.get(number)
        restored = imported is not None and imported(path)
        if bound is not None and not restored:
            os.rmdir(path)
            bound.lay_out(path, self._check)
        if bound is None or mount.mode is not None:
            os.chmod(path, MODE_CACHE if mount.mode is None else mount.mode)
        if mount.uid is not None or mount.gid is not None:
            os.chown(path, mount.uid or 0, mount.gid or 0)

    def _secret(self, mount: Mount) -> None:
        value = self._work.vault.get(mount.id)
        if value is None:
            if mount.required:
                raise DockerfileError(
                    f'the secret "{mount.id}" was not given', hint=f"add --secret id={mount.id},src=FILE"
                )
            return
        fd = os.memfd_create(SECRET_NAME, os.MFD_CLOEXEC)
        self._stack.callback(os.close, fd)
        rest = memoryview(value)
        while rest:
            rest = rest[os.write(fd, rest) :]
        source = f"/proc/{os.getpid()}/fd/{fd}"
        if mount.env is not None:
            if b"\0" in value:
                raise DockerfileError(f'the secret "{mount.id}" has a null byte: it cannot be a variable')
            self.environ.append((mount.env, source))
        if mount.target:
            name = str(len(self._secrets))
            mode = MODE_SECRET if mount.mode is None else mount.mode
            self._secrets.append(SecretFile(name, source, mode, mount.uid or 0, mount.gid or 0))
            self.points.append(MountPoint("bind", f"{self._place(SECRETS)}/{name}", mount.target, read_only=True))

    def _ssh(self, number: int, mount: Mount) -> None:
        sources = self._options.ssh.get(mount.id)
        if sources is None:
            if mount.required:
                raise DockerfileError(f'the ssh agent "{mount.id}" was not given', hint=f"add --ssh {mount.id}")
            return
        place = self._place(f"agent{number}")

        def listen() -> None:
            from holdall.engine.ssh_forward import Forward

            mode = MODE_SOCKET if mount.mode is None else mount.mode
            self._stack.enter_context(Forward(sources, place, mode, (mount.uid or 0, mount.gid or 0)))

        self._made.append(listen)
        self.points.append(MountPoint("bind", place, mount.target))

    def _script(self, text: str) -> None:
        from holdall.build.running import SCRIPT

        path = self._place("script")

        def write() -> None:
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
            os.chmod(path, 0o755)

        self._made.append(write)
        self.points.append(MountPoint("bind", path, SCRIPT, read_only=True))
