"""The report as markdown."""

from __future__ import annotations

from measure import Crowd, Times

WARM = "holdall warm"
SUPERVISOR = "holdall, supervisor only"
COLD = "holdall cold"


def listed(facts: list[str]) -> list[str]:
    """One line each."""
    return [f"- {fact}" for fact in facts]


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A markdown table."""
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]


def times(names: list[str], rows: dict[str, dict[str, Times]]) -> list[str]:
    """Median, best and ratio to the warm holdall of each contestant."""
    lines = []
    for work, found in rows.items():
        base = found[WARM].median
        lines.append([work, *[cell(found[name], base) if name in found else "–" for name in names]])
    return ["Median ms (best ms) × ratio to holdall warm:", "", *table(["work", *names], lines)]


def cell(found: Times, base: float) -> str:
    """One figure; failures are named, never hidden."""
    text = f"{found.median:.1f} ({found.best:.1f}) × {found.median / base:.1f}"
    return f"{text}, **{found.failed} failed**" if found.failed else text


def targets(rows: dict[str, dict[str, Times]], crowd: Crowd) -> list[str]:
    """The targets with what came out."""
    none, bridge = rows["`run --rm`, network none"], rows["`run --rm`, network bridge"]
    lines = [share("network none", none, contestant, "podman", 3) for contestant in (WARM, SUPERVISOR, COLD)]
    for contestant in (WARM, SUPERVISOR):
        lines += [share("bridge", bridge, contestant, peer, 6) for peer in ("podman", "docker")]
    lost = crowd.wanted - crowd.kept
    kept = f"{crowd.kept} of {crowd.wanted}"
    lines.append(["started at once, all kept", "0 lost", f"{kept} kept, {lost} lost", verdict(lost == 0)])
    return table(["target", "bound", "measured", "holds"], lines)


def share(work: str, found: dict[str, Times], contestant: str, peer: str, part: int) -> list[str]:
    """A row: this contestant's time as a share of a peer's."""
    times_less = found[peer].median / found[contestant].median
    what = f"`run --rm`, {work}: {contestant} against {peer}"
    return [what, f"≤ 1/{part}", f"1/{times_less:.1f}", verdict(times_less >= part)]


def verdict(good: bool) -> str:
    """Yes or no."""
    return "yes" if good else "**no**"


def crowds(found: dict[str, Crowd], size: int) -> list[str]:
    """Many at once."""
    lines = [
        [
            name,
            f"{crowd.start.median / 1000:.2f}",
            f"{crowd.kept} of {crowd.wanted}",
            str(crowd.start.failed),
            f"{crowd.remove.median / 1000:.2f}",
            str(crowd.left),
        ]
        for name, crowd in found.items()
    ]
    head = [f"{size} × `run -d`, bridge, at once", "s", "kept", "commands failed", "`rm -f` of all, s", "left behind"]
    return table(head, lines)


def memory(idle: dict[str, str], found: dict[str, Crowd], size: int) -> list[str]:
    """The engines' own processes."""
    lines = [[name, idle[name], crowd.memory] for name, crowd in found.items()]
    return table(["PSS of the engine's own processes", "0 containers", f"{size + 1} containers"], lines)
