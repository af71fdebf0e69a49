"""What is known of a container that was started: `containers/<id>/state.json`, written by the supervisor alone.

Anybody may read it, with no supervisor running: `read_state` checks a "running" against the kernel (pid, start time,
boot id) and settles it. A container without the file was never started and is "created".
"""

from __future__ import annotations

import json
import os
import time

from holdall.errors import StoreCorrupt
from holdall.record import record, replace
from holdall.supervisor.durable import read_bounded, write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.paths import Paths

VERSION = 1
MAX_STATE_BYTES = 1 << 20
PATIENCE = 0.5
PAUSE = 0.002
LIVE = frozenset({"starting", "running", "paused"})


@record
class HostPort:
    """A published port as it was bound: `host_port` is never 0."""

    protocol: str
    host_ip: str
    host_port: int
    container_port: int


@record
class State:
    """The life of a container. Times are nanoseconds since the epoch, 0 meaning never.

    `status` is created, starting, running, paused, restarting, exited or dead. `exit_code` is None when it is not
    known (and while running for the first time); `start_ticks` is field 22 of /proc/PID/stat and with `boot_id` tells
    whether `pid` still is that process. `stopped_by_user` suppresses "unless-stopped" after a reboot.
    """

    status: str = "created"
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""
    started_at: int = 0
    finished_at: int = 0
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    restart_count: int = 0
    health: str = "none"
    ports: tuple[HostPort, ...] = ()
    address: str = ""
    stopped_by_user: bool = False

    @property
    def alive(self) -> bool:
        """Whether a process of the container exists, as far as this state knows."""
        return self.status in LIVE


def state_path(paths: Paths, container_id: str) -> str:
    """Where the state of a container lies."""
    return paths.container(container_id) + "/state.json"


def to_json(state: State) -> dict[str, Any]:
    """The state as a JSON object."""
    return {"version": VERSION, **state.__dict__, "ports": [dict(port.__dict__) for port in state.ports]}


def parse(raw: bytes, source: str) -> State:
    """A state from its JSON. Raises StoreCorrupt naming `source`."""
    try:
        value: dict[str, Any] = json.loads(raw)
        if value.pop("version") != VERSION:
            raise ValueError("unknown version")
        value["ports"] = tuple([HostPort(**port) for port in value["ports"]])
        return State(**value)
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise StoreCorrupt(f'cannot read "{source}": {err}') from err


def write_state(paths: Paths, container_id: str, state: State, *, durable: bool = False) -> None:
    """Write the state atomically; an exit is worth `durable`, a start is not (the boot id tells after a crash)."""
    raw = json.dumps(to_json(state), separators=(",", ":")).encode()
    write_atomic(state_path(paths, container_id), raw, durable=durable)


def stored_state(paths: Paths, container_id: str) -> State:
    """The state as written, unchecked. Raises StoreCorrupt."""
    path = state_path(paths, container_id)
    try:
        raw = read_bounded(path, MAX_STATE_BYTES)
    except FileNotFoundError:
        return State()
    return parse(raw, path) if raw else State("exited", error="what became of it was lost in a power failure")


def read_state(paths: Paths, container_id: str) -> State:
    """The state, settled: a "running" whose process is gone reads as "exited" with an unknown exit code.

    If a supervisor lives it is about to write what it knows of that end: then this waits for it a little, and after
    that gives what stands there.
    """
    state = stored_state(paths, container_id)
    end = 0.0
    while state.alive and not process_is(state.pid, state.start_ticks, state.boot_id):
        from holdall.supervisor import bringup

        owned = bringup.is_owned(paths)
        again = stored_state(paths, container_id)
        if again == state and not owned:
            return settle(state)
        if end and time.monotonic() > end:
            return again
        end = end or time.monotonic() + PATIENCE
        state = again
        time.sleep(PAUSE)
    return state


def settle(state: State) -> State:
    """The state of a container whose process was found dead with nobody there to see it end."""
    if state.status == "starting":
        return replace(state, status="exited", pid=0, error=state.error or "the supervisor died during the start")
    return replace(state, status="exited", pid=0, exit_code=None)


def boot_id() -> str:
    """The kernel's id of this boot (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read(64).strip()


def start_ticks(pid: int, *, ended: bool = False) -> int:
    """When a process started, in clock ticks since boot (proc(5), stat field 22), or 0 when it is gone.

    A zombie counts as gone unless `ended` is given.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    try:
        line = os.read(fd, 4096)
    except ProcessLookupError:
        return 0
    finally:
        os.close(fd)
    fields = line[line.rindex(b")") + 2 :].split()
    return 0 if fields[0] in (b"Z", b"X") and not ended else int(fields[19])


def process_is(pid: int, ticks: int, boot: str, *, ended: bool = False) -> bool:
    """Whether `pid` still is the process that started at `ticks` in boot `boot` (and, without `ended`, no zombie)."""
    return pid > 0 and ticks > 0 and boot == boot_id() and start_ticks(pid, ended=ended) == ticks
