"""Rows of `ps` and `images` with the field names of Docker's templates."""

from __future__ import annotations

import shlex
import time

from holdall.engine.filters import display_status
from holdall.engine.times import ago, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from holdall.engine.container import Container
    from holdall.engine.image import Image
    from holdall.supervisor.state import HostPort, State

COMMAND_WIDTH = 20


def container(item: Container, now: int, *, full: bool, measure: bool) -> dict[str, Any]:
    """One line of `ps`. `now` is in nanoseconds."""
    state = item.state
    config = item.config
    command = " ".join(map(shlex.quote, config.resolved.args)) if full else " ".join(config.resolved.args)
    image = item.image if not item.image.startswith("sha256:") or full else item.image.removeprefix("sha256:")[:12]
    written = item.written() if measure else 0
    return {
        "ID": item.id if full else item.short_id,
        "Image": image,
        "Command": f'"{command if full else _cut(command)}"',
        "CreatedAt": stamp(item.created),
        "RunningFor": ago(item.created, now) + " ago",
        "State": display_status(state),
        "Status": status(state, now),
        "Ports": ports(state.ports, config.resolved.exposed_ports) if state.alive else "",
        "Names": item.name,
        "Labels": ",".join(f"{k}={v}" for k, v in sorted(item.labels.items())),
        "Label": dict(item.labels),
        "Mounts": ",".join(m.name or m.source or m.target for m in config.mounts),
        "Networks": "bridge" if config.options.network == "default" else config.options.network,
        "LocalVolumes": str(sum(1 for m in config.mounts if m.kind == "volume")),
        "Size": size(written),
    }


def _cut(text: str) -> str:
    return text if len(text) <= COMMAND_WIDTH else text[: COMMAND_WIDTH - 1] + "…"


def stamp(ns: int) -> str:
    """Docker's form of a local time: 2026-01-02 15:04:05 +0000 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(ns // 10**9))


def status(state: State, now: int) -> str:
    """Docker's STATUS: "Up 3 minutes (Paused)", "Exited (0) 2 hours ago"."""
    if state.status in ("running", "starting"):
        return f"Up {ago(state.started_at, now)}"
    if state.status == "paused":
        return f"Up {ago(state.started_at, now)} (Paused)"
    if state.status == "created":
        return "Created"
    code = "unknown" if state.exit_code is None else str(state.exit_code)
    when = f" {ago(state.finished_at, now)} ago" if state.finished_at else ""
    if state.status == "restarting":
        return f"Restarting ({code}){when}"
    if state.exit_code is None and not state.started_at:
        return "Created" if not state.error else "Dead"
    return f"Exited ({code}){when}"


def ports(bound: Iterable[HostPort], exposed: Iterable[str]) -> str:
    """Docker's PORTS: published ones with their host side, then the others; neighbours are joined to ranges."""
    published: list[tuple[str, int, int, str]] = sorted(
        (p.host_ip or "0.0.0.0", p.host_port, p.container_port, p.protocol) for p in bound
    )
    parts = []
    run: list[tuple[str, int, int, str]] = []
    for entry in [*published, ("", 0, 0, "")]:
        if run:
            last = run[-1]
            follows = entry[0] == last[0] and entry[3] == last[3] and (entry[1], entry[2]) == (last[1] + 1, last[2] + 1)
            if not follows:
                parts.append(_range(run))
                run = []
        run.append(entry)
    seen = {f"{container_port}/{protocol}" for _, _, container_port, protocol in published}
    parts += sorted(port for port in exposed if port not in seen)
    return ", ".join(parts)


def _range(run: list[tuple[str, int, int, str]]) -> str:
    ip, host, inner, protocol = run[0]
    if len(run) == 1:
        return f"{ip}:{host}->{inner}/{protocol}"
    return f"{ip}:{host}-{run[-1][1]}->{inner}-{run[-1][2]}/{protocol}"


def images(items: Iterable[Image], now: int, *, full: bool) -> list[dict[str, Any]]:
    """Lines of `images`: one for each tag, or one for an image without."""
    found = []
    for item in items:
        names = [tag.rpartition(":")[::2] for tag in item.tags]
        if not names:
            bare = item.record.digests[0].partition("@")[0] if item.record.digests else "<none>"
            names = [(bare, "<none>")]
        digests = dict(d.partition("@")[::2] for d in item.record.digests)
        for repository, tag in names:
            found.append(
                {
                    "ID": item.id if full else item.short_id,
                    "Repository": repository,
                    "Tag": tag,
                    "Digest": digests.get(repository, "<none>"),
                    "CreatedAt": stamp(item.created) if item.created else "N/A",
                    "CreatedSince": ago(item.created, now) + " ago" if item.created else "N/A",
                    "Size": size(item.size),
                    "VirtualSize": size(item.size),
                    "Containers": "N/A",
                    "Platform": item.platform,
                }
            )
    return found
