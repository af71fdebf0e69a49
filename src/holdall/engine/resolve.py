"""What runs: the caller's options laid over the image's config, by Docker's rules. Pure."""

from __future__ import annotations

from holdall.errors import InvalidOption
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdall.engine.options import CreateOptions
    from holdall.oci.container_config import ContainerConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@record
class Resolved:
    """The process and the facts around it, with nothing left open."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    stop_signal: str
    labels: Mapping[str, str]
    volumes: tuple[str, ...]
    exposed_ports: tuple[str, ...]

    @property
    def args(self) -> tuple[str, ...]:
        """argv of the container's first process."""
        return self.entrypoint + self.command


def resolve(options: CreateOptions, image: ContainerConfig, hostname: str) -> Resolved:
    """Lay `options` over the image's config. Raises InvalidOption when there is nothing to run."""
    entrypoint = tuple(image.entrypoint or ())
    command = tuple(image.cmd or ())
    if options.entrypoint is not None:
        entrypoint = tuple(part for part in options.entrypoint if part)
        command = ()
    if options.command:
        command = options.command
    if not entrypoint + command:
        raise InvalidOption(
            f'the image "{options.image}" names no command to run', hint="give one after the image's name"
        )
    base = [DEFAULT_PATH, f"HOSTNAME={hostname}"]
    if options.tty:
        base.append("TERM=xterm")
    return Resolved(
        entrypoint=entrypoint,
        command=command,
        env=merge_env(base, image.env or (), options.env),
        working_dir=options.working_dir or image.working_dir or "/",
        user=options.user if options.user is not None else (image.user or ""),
        stop_signal=options.stop_signal or image.stop_signal or "SIGTERM",
        labels={**(image.labels or {}), **options.labels},
        volumes=tuple(image.volumes or ()),
        exposed_ports=tuple(dict.fromkeys((*(image.exposed_ports or ()), *map(exposed, options.expose)))),
    )


def merge_env(*sources: Iterable[str]) -> tuple[str, ...]:
    """Variables of all sources; a later one replaces an earlier one of the same name in its place."""
    merged: dict[str, str] = {}
    for source in sources:
        for item in source:
            merged[item.partition("=")[0]] = item
    return tuple(merged.values())


def exposed(text: str) -> str:
    """`--expose PORT[/PROTO]` as "PORT/PROTO". Raises InvalidOption."""
    port, _, protocol = text.partition("/")
    if not port.isdigit() or not 0 < int(port) < 65536 or protocol not in ("", "tcp", "udp"):
        raise InvalidOption(f'invalid value "{text}" for --expose', hint="write PORT or PORT/udp")
    return f"{int(port)}/{protocol or 'tcp'}"
