"""Options of `docker build` about limits of its commands, and those that are so anyway or refused by name."""

from __future__ import annotations

from holdall.engine import syntax
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.build.limits import Limits
    from holdall.cli.arguments import Parser

# what is so anyway: option, its value, what the other value would ask for
GRANTED = (
    ("--rm", True, "the container of a step is always removed"),
    ("--force-rm", True, ""),
    ("--compress", True, ""),
    ("--stream", True, ""),
    ("--disable-content-trust", True, "signatures of images are not checked"),
    ("--provenance", False, "provenance is not recorded"),
    ("--sbom", False, "no list of an image's software is made"),
    ("--squash", False, "layers stay as the steps made them: copy into a last stage FROM scratch for a single one"),
)
REFUSED = {
    "--attest": "no attestations are made",
    "--builder": "there is one builder, this store's",
    "--cgroup-parent": "steps have the store's own control groups",
    "--isolation": "steps are isolated as Holdall's containers are",
    "--security-opt": "steps have the isolation of a container without options",
}
MAX_JOBS = 1024
ALLOWED_VALUES = {"--builder": ("default",), "--isolation": ("default",)}


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.value("--memory", "-m", help="memory limit of a RUN", metavar="SIZE")
    parser.value("--memory-swap", help="memory and swap of a RUN together; -1 for no limit", metavar="SIZE")
    parser.value("--cpu-shares", "-c", help="relative weight of a RUN", type=int, metavar="N")
    parser.value("--cpu-period", help="CFS period of a RUN in microseconds", type=int, metavar="US")
    parser.value("--cpu-quota", help="CFS quota of a RUN in microseconds", type=int, metavar="US")
    parser.value("--cpuset-cpus", help="cores a RUN may use: 0-2,4", metavar="LIST")
    parser.value("--cpuset-mems", help="memory nodes a RUN may use", metavar="LIST")
    parser.value("--shm-size", help="size of /dev/shm in a RUN (default 64m)", metavar="SIZE")
    parser.values("--ulimit", help="resource limit of a RUN", metavar="NAME=SOFT[:HARD]")
    parser.values("--add-host", help="line of /etc/hosts in a RUN", metavar="NAME:ADDRESS")
    for name, granted, _ in GRANTED:
        word = str(granted).lower()
        parser.flag(name, help=f"accepted for docker's sake: {word}, which it is anyway", default=granted)
    for name, reason in REFUSED.items():
        values = ALLOWED_VALUES.get(name, ())
        told = f'only "{values[0]}": {reason}' if values else f"refused: {reason}"
        parser.values(name, help=told, metavar="VALUE")


def read(options: Namespace) -> Limits:
    """The limits. Raises InvalidOption, also for what is refused."""
    from holdall.build.limits import Limits

    _check(options)
    return Limits(
        memory=syntax.parse_size(options.memory, "--memory") if options.memory else None,
        memory_swap=_swap(options.memory_swap),
        cpu_shares=options.cpu_shares,
        cpu_period=options.cpu_period,
        cpu_quota=options.cpu_quota,
        cpuset_cpus=options.cpuset_cpus,
        cpuset_mems=options.cpuset_mems,
        shm_size=syntax.parse_size(options.shm_size, "--shm-size") if options.shm_size else None,
        ulimits=tuple([(one.name, one.soft, one.hard) for one in map(syntax.parse_ulimit, options.ulimit)]),
        add_hosts=tuple(options.add_host),
    )


def jobs(text: str | None) -> int:
    """The value of --jobs, 0 for none. Raises InvalidOption."""
    if text is None:
        return 0
    if not text.isdigit() or not 1 <= int(text) <= MAX_JOBS:
        raise InvalidOption(f'invalid value "{text}" for --jobs', hint=f"give a number from 1 to {MAX_JOBS}")
    return int(text)


def _swap(text: str | None) -> int | None:
    if not text:
        return None
    return -1 if text == "-1" else syntax.parse_size(text, "--memory-swap")


def _check(options: Namespace) -> None:
    for name, granted, reason in GRANTED:
        given = getattr(options, name[2:].replace("-", "_"))
        if given != granted and reason:
            raise InvalidOption(f"{name}={str(given).lower()} is not supported: {reason}")
    for name, reason in REFUSED.items():
        for value in getattr(options, name[2:].replace("-", "_")):
            if value not in ALLOWED_VALUES.get(name, ()):
                raise InvalidOption(f"{name}={value} is not supported: {reason}")
