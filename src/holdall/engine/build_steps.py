"""RUN steps: containers like any other, but made of layers instead of an image, and gone with their layer written."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack, contextmanager, suppress

from holdall.engine.config import MountPoint, StoredConfig
from holdall.engine.create import lay_out
from holdall.engine.names import new_id, short
from holdall.engine.network_files import FILE_TARGETS
from holdall.engine.options import CreateOptions, Resources, Ulimit
from holdall.engine.resolve import resolve
from holdall.errors import ContainerNotFound, DockerfileError, StepFailed
from holdall.oci.container_config import ContainerConfig
from holdall.store.containers import ContainerRow
from holdall.store.scratch import folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from holdall.build.limits import Limits
    from holdall.build.options import BuildOptions
    from holdall.build.running import RunWork
    from holdall.build.stop import Stop
    from holdall.dockerfile.mount import Mount
    from holdall.engine.attachment import Attachment
    from holdall.engine.container import Container
    from holdall.engine.engine import Engine
    from holdall.events import Reporter
    from holdall.image.image import Image as StoredImage
    from holdall.layer.hashing import Writable

READ = 65536
LABEL = "holdall.build.step"
SCRIPT_MOUNT = "/dev/pipes/script"


class StepRunner:
    """A `Runner` (build/build.py) that makes a container for each step and removes it."""

    def __init__(self, engine: Engine, options: BuildOptions, stop: Stop) -> None:
        self._engine = engine
        self._options = options
        self._stop = stop

    def image(self, name: str, platform: str | None, report: Reporter) -> StoredImage:
        """A base image."""
        pull = "always" if self._options.pull else "missing"
        found = self._engine.images.ensure(name, pull=pull, platform=platform, reporter=report)
        store = self._engine.images.writing
        return store.image(store.get(found.id))

    def run(self, work: RunWork, out: Writable, tell: Callable[[bytes], None]) -> None:
        """Execute a step and write the tar of what it changed."""
        with (
            folder(self._engine.paths) as scratch,
            self._locks(work),
        ):
            container = self._create(work, scratch)
            try:
                # while this line is open the supervisor leaves the removal to us; when we die it removes the container
                with container.open(start=True) as attachment:
                    with self._stop.calling(container.kill):
                        code = _relayed(attachment, tell)
                    self._stop.check()
                    if code != 0:
                        raise StepFailed(f"the command ended with exit code {code}", code=code or 1)
                    self._write(container, work, out)
                    container.remove(volumes=True)
            except BaseException:
                with suppress(ContainerNotFound):
                    container.remove(force=True, volumes=True)
                raise

    @contextmanager
    def _locks(self, work: RunWork) -> Iterator[None]:
        """Have the caches to ourselves that are to be had by one command at a time."""
        with ExitStack() as stack:
            for mount in work.step.mounts:
                if mount.type == "cache" and mount.sharing == "locked":
                    path = self._cache_folder(mount, os.path.normpath(f"{work.step.working_dir}/{mount.target}"))
                    stack.enter_context(
                        self._stop.acquire(f"{self._engine.paths.ingest}/{os.path.basename(path)}.lock")
                    )
            yield

    def _write(self, container: Container, work: RunWork, out: Writable) -> None:
        from holdall.layer.diff import write_layer

        skipped = (*FILE_TARGETS, *(mount.target for mount in container.config.mounts))
        with self._engine.containers.snapshots.written(container.id, work.diff_ids) as (upper, lowers):
            write_layer(upper, lowers, out, placeholders=skipped, latest=work.epoch)

    def _create(self, work: RunWork, scratch: str) -> Container:
        engine, step = self._engine, work.step
        container_id = new_id()
        network = step.network or {"default": "bridge"}.get(self._options.network, self._options.network)
        options = CreateOptions(
            image="build", command=step.args, entrypoint=(), env=step.env, working_dir=step.working_dir, user=step.user,
            network=network, labels={LABEL: short(container_id)}, auto_remove=True, **_limits(self._options.limits),
        )  # fmt: skip
        resolved = resolve(options, ContainerConfig(), short(container_id))
        mounts = tuple([self._mount(one, number, work, scratch) for number, one in enumerate(step.mounts)])
        if step.script:
            mounts = (*mounts, _script(step.script, scratch))
        config = StoredConfig(options, resolved, mounts, "")
        lay_out(engine, container_id, work.diff_ids)
        try:
            row = ContainerRow(
                container_id, f"build-{short(container_id)}", "", "build", time.time_ns(), config.dump(),
                options.labels, work.diff_ids,
            )  # fmt: skip
            engine.containers.store.insert_step(row)
        except BaseException:
            engine.containers.discard(container_id)
            raise
        return engine.containers.get(container_id)

    def _mount(self, mount: Mount, number: int, work: RunWork, scratch: str) -> MountPoint:
        target = os.path.normpath(os.path.join("/", work.step.working_dir, mount.target))
        if mount.type == "tmpfs":
            return MountPoint("tmpfs", "", target, size=mount.size)
        if mount.type == "bind":
            return MountPoint("bind", work.files[number], target, read_only=mount.readonly)
        if mount.type == "cache":
            return MountPoint("bind", self._cache_folder(mount, target), target, read_only=mount.readonly)
        return self._secret(mount, target, scratch)

    def _cache_folder(self, mount: Mount, target: str) -> str:
        import hashlib

        name = hashlib.sha256((mount.id or target).encode()).hexdigest()[:32]
        folder = f"{self._engine.paths.root}/cache/mounts/{name}"
        if not os.path.isdir(folder):
            os.makedirs(folder, 0o755)
            os.chmod(folder, 0o755 if mount.mode is None else mount.mode)
            os.chown(folder, mount.uid or 0, mount.gid or 0)
        return folder

    def _secret(self, mount: Mount, target: str, scratch: str) -> MountPoint:
        name = mount.id or os.path.basename(mount.source or mount.target)
        source = self._options.secrets.get(name)
        if mount.env is not None:
            raise DockerfileError("RUN --mount=type=secret,env= is not supported", hint="use the file /run/secrets/…")
        if source is None:
            if mount.required:
                raise DockerfileError(f'the secret "{name}" was not given', hint=f"add --secret id={name},src=FILE")
            source = "/dev/null"
        copy = f"{scratch}/{len(os.listdir(scratch))}"
        shutil.copyfile(source, copy)
        os.chmod(copy, 0o400 if mount.mode is None else mount.mode)
        os.chown(copy, mount.uid or 0, mount.gid or 0)
        inside = target if mount.target else f"/run/secrets/{name}"
        return MountPoint("bind", copy, inside, read_only=True)


def _limits(limits: Limits) -> dict[str, Any]:
    """As options of a container."""
    resources = Resources(
        memory=limits.memory, memory_swap=limits.memory_swap, cpu_shares=limits.cpu_shares,
        cpu_period=limits.cpu_period, cpu_quota=limits.cpu_quota, cpuset_cpus=limits.cpuset_cpus,
        cpuset_mems=limits.cpuset_mems,
    )  # fmt: skip
    ulimits = tuple([Ulimit(*one) for one in limits.ulimits])
    return {"resources": resources, "ulimits": ulimits, "shm_size": limits.shm_size, "add_hosts": limits.add_hosts}


def _script(text: str, scratch: str) -> MountPoint:
    path = f"{scratch}/script"
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(path, 0o755)
    return MountPoint("bind", path, SCRIPT_MOUNT, read_only=True)


def _relayed(attachment: Attachment, tell: Callable[[bytes], None]) -> int | None:
    """Pass the output on as it comes; the exit code."""
    import threading

    reader, writer = os.pipe2(os.O_CLOEXEC)

    def pump() -> None:
        while data := os.read(reader, READ):
            tell(data)

    thread = threading.Thread(target=pump, name="output")
    thread.start()
    try:
        attachment.relay(stdin=None, stdout=writer, stderr=writer)
        return attachment.wait()
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
