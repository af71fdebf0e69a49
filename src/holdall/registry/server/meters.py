"""Counters that all processes of one server share: a table in memory made before they are forked, one row for each.

Any process can answer /metrics for all. A row has one writer, so nothing is locked.
"""

from __future__ import annotations

import mmap

KINDS = ("root", "catalog", "tags", "manifest", "blob", "uploads", "upload", "referrers", "token", "page", "other")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SINGLE = (
    "in_flight", "bytes_received", "bytes_sent", "login_failures", "denials", "slow_clients", "rate_limited",
    "malformed_requests",
    "events_noted", "events_sent", "events_lost", "events_failures",
    "mirror_hits", "mirror_fetches", "mirror_bytes", "mirror_stale",
    "gc_rounds", "gc_links", "gc_tags", "gc_manifests", "gc_blobs", "gc_bytes", "gc_uploads", "gc_errors",
    "gc_finished_at",
)  # fmt: skip
GAUGES = ("in_flight", "gc_finished_at")

_REQUESTS = {
    (kind, cls): at for at, (kind, cls) in enumerate((kind, cls) for kind in KINDS for cls in CLASSES)
}  # fmt: skip
_SECONDS = len(_REQUESTS)
_WIDTH = len(BUCKETS) + 2  # the buckets, the one without end, the sum
_SINGLE = {name: _SECONDS + len(KINDS) * _WIDTH + at for at, name in enumerate(SINGLE)}
_ROW = _SECONDS + len(KINDS) * _WIDTH + len(SINGLE)


class Meters:
    """The table, and the row this process writes to."""

    def __init__(self, processes: int) -> None:
        self._rows = processes
        self._memory = mmap.mmap(-1, processes * _ROW * 8)
        self._table = memoryview(self._memory).cast("d")
        self._base = 0

    def use_row(self, number: int) -> None:
        """Write to this row from now on; what is not a sum starts anew."""
        self._base = number * _ROW
        self._table[self._base + _SINGLE["in_flight"]] = 0

    def add(self, name: str, value: float = 1) -> None:
        """Add to a single counter."""
        self._table[self._base + _SINGLE[name]] += value

    def set(self, name: str, value: float) -> None:
        """Set a single value."""
        self._table[self._base + _SINGLE[name]] = value

    def request(self, kind: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        table, base = self._table, self._base
        table[base + _REQUESTS[kind, CLASSES[status // 100 - 1]]] += 1
        at = base + _SECONDS + KINDS.index(kind) * _WIDTH
        place = next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        table[at + place] += 1
        table[at + _WIDTH - 1] += seconds

    def total(self, name: str) -> float:
        """The sum of a single counter over all processes."""
        return sum(self._table[row * _ROW + _SINGLE[name]] for row in range(self._rows))

    def _sum(self, at: int) -> float:
        return sum(self._table[row * _ROW + at] for row in range(self._rows))

    def render(self, counts: dict[str, int]) -> str:
        """The text for /metrics (OpenMetrics 1.0); `counts` are rows of the storage by kind."""
        lines = ["# TYPE holdall_registry_requests counter"]
        for (kind, cls), at in _REQUESTS.items():
            value = self._sum(at)
            if value:
                lines.append(f'holdall_registry_requests_total{{route="{kind}",status="{cls}"}} {value:.0f}')
        lines.append("# TYPE holdall_registry_request_seconds histogram")
        for number, kind in enumerate(KINDS):
            lines += self._histogram(kind, _SECONDS + number * _WIDTH)
        for name in SINGLE:
            gauge = name in GAUGES
            value = max(self._table[r * _ROW + _SINGLE[name]] for r in range(self._rows)) if name == "gc_finished_at" \
                else self.total(name)  # fmt: skip
            lines.append(f"# TYPE holdall_registry_{name} {'gauge' if gauge else 'counter'}")
            lines.append(f"holdall_registry_{name}{'' if gauge else '_total'} {value:.17g}")
        for name, count in counts.items():
            lines.append(f"# TYPE holdall_registry_stored_{name} gauge")
            lines.append(f"holdall_registry_stored_{name} {count}")
        return "\n".join([*lines, "# EOF", ""])

    def _histogram(self, kind: str, at: int) -> list[str]:
        values = [self._sum(at + place) for place in range(_WIDTH)]
        if not any(values):
            return []
        name, label, running, lines = "holdall_registry_request_seconds", f'route="{kind}"', 0.0, []
        for bound, value in zip((*map(str, BUCKETS), "+Inf"), values[:-1], strict=True):
            running += value
            lines.append(f'{name}_bucket{{{label},le="{bound}"}} {running:.0f}')
        return [*lines, f"{name}_sum{{{label}}} {values[-1]:.6f}", f"{name}_count{{{label}}} {running:.0f}"]
