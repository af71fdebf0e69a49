"""`top`: ps(1) of the host, kept to the processes of one container."""

from __future__ import annotations

from holdall.errors import ContainerStateConflict, InvalidOption, SystemFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.engine.container import Container
    from holdall.engine.engine import Engine

DEFAULT = ("-ef",)
SECONDS = 30


def top(engine: Engine, container: Container, arguments: Sequence[str]) -> list[list[str]]:
    """Rows of cells, titles first. Raises ContainerStateConflict, InvalidOption when ps refuses its arguments."""
    import subprocess

    from holdall.linux import cgroups

    if not container.running:
        raise ContainerStateConflict(f'container "{container.name}" is not running')
    pids = set(cgroups.driver().open(engine.paths.cgroup, container.id).processes())
    try:
        done = subprocess.run(
            ["ps", *(arguments or DEFAULT)], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError as err:
        raise SystemFailure("ps is not installed", hint="apt-get install procps") from err
    if done.returncode:
        raise InvalidOption(f"ps refused its arguments: {done.stderr.strip()}")
    return keep(done.stdout, pids)


def keep(text: str, pids: set[int]) -> list[list[str]]:
    """Titles and the lines of ps whose PID column is one of `pids`. Raises InvalidOption without that column."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise InvalidOption("ps printed no PID column", hint="add pid to the columns")
    column = titles.index("PID")
    rows = [titles]
    for line in lines[1:]:
        cells = line.split(None, len(titles) - 1)
        if len(cells) > column and cells[column].isdigit() and int(cells[column]) in pids:
            rows.append(cells)
    return rows
