"""Options that `run` and `create` share, and how they become `CreateOptions`."""

from __future__ import annotations

import os

from holdall.engine import syntax
from holdall.engine.options import CreateOptions, Resources
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser


def add(parser: Parser) -> None:
    """Declare the options."""
    flag, value, values = parser.flag, parser.value, parser.values
    flag("--interactive", "-i", help="keep standard input open")
    flag("--tty", "-t", help="give it a terminal")
    flag("--rm", help="remove it, and its anonymous volumes, when it has ended")
    flag("--init", help="run a small init as its first process: forwards signals, reaps zombies")
    flag("--privileged", help="all capabilities, all devices, no filters")
    flag("--read-only", help="mount its root file system read-only")
    flag("--publish-all", "-P", help="publish every exposed port to a free port of the host")
    flag("--quiet", "-q", help="no progress while an image is pulled")
    value("--name", help="its name (default: made up)", metavar="NAME")
    value("--entrypoint", help="what to execute instead of the image's entrypoint", metavar="COMMAND")
    value("--workdir", "-w", help="working directory", metavar="DIR")
    value("--user", "-u", help="user and group: NAME|UID[:GROUP|GID]", metavar="USER")
    value("--hostname", "-h", help="host name", metavar="NAME")
    value("--domainname", help="NIS domain name", metavar="NAME")
    value("--network", "--net", help="bridge, none or host (default bridge)", default="bridge", metavar="MODE")
    value("--memory", "-m", help="memory limit", metavar="SIZE")
    value("--memory-reservation", help="soft memory limit", metavar="SIZE")
    value("--memory-swap", help="memory and swap together; -1 for no limit", metavar="SIZE")
    value("--cpus", help="number of cores", metavar="N")
    value("--cpu-shares", "-c", help="relative weight", type=int, metavar="N")
    value("--cpu-period", help="CFS period in microseconds", type=int, metavar="US")
    value("--cpu-quota", help="CFS quota in microseconds", type=int, metavar="US")
    value("--cpuset-cpus", help="cores it may use: 0-2,4", metavar="LIST")
    value("--cpuset-mems", help="memory nodes it may use", metavar="LIST")
    value("--pids-limit", help="number of processes; -1 for no limit", type=int, metavar="N")
    value("--shm-size", help="size of /dev/shm (default 64m)", metavar="SIZE")
    value("--stop-signal", help="signal that `stop` sends (default: the image's, else SIGTERM)", metavar="SIGNAL")
    value("--stop-timeout", help="seconds `stop` waits before SIGKILL (default 10)", type=int, metavar="SECONDS")
    value("--restart", help="no, always, unless-stopped or on-failure[:N]", default="no", metavar="POLICY")
    value("--pull", help="always, missing or never (default missing)", default="missing", metavar="WHEN")
    value("--platform", help="OS/ARCHITECTURE[/VARIANT] of a multi-platform image", metavar="PLATFORM")
    value("--cidfile", help="write the container's ID to this file", metavar="FILE")
    value("--pid", help="process namespace: private or host", default="", metavar="MODE")
    value("--ipc", help="IPC namespace: private or host", default="", metavar="MODE")
    value("--uts", help="host name namespace: private or host", default="", metavar="MODE")
    value("--oom-score-adj", help="-1000 to 1000: whom the kernel kills first", type=int, metavar="N")
    values("--env", "-e", help="set a variable, or pass the caller's on", metavar="NAME[=VALUE]")
    values("--env-file", help="read variables from a file", metavar="FILE")
    values("--label", "-l", help="set a label", metavar="KEY[=VALUE]")
    values("--label-file", help="read labels from a file", metavar="FILE")
    values("--volume", "-v", help="bind a folder or a named volume", metavar="[SOURCE:]TARGET[:OPTIONS]")
    values("--mount", help="bind, volume or tmpfs mount", metavar="type=…,source=…,target=…")
    values("--tmpfs", help="mount a tmpfs", metavar="TARGET[:OPTIONS]")
    values("--publish", "-p", help="publish a port", metavar="[[IP:]HOST:]CONTAINER[/PROTOCOL]")
    values("--expose", help="declare a port", metavar="PORT[/PROTOCOL]")
    values("--cap-add", help="add a capability", metavar="NAME")
    values("--cap-drop", help="drop a capability", metavar="NAME")
    values("--security-opt", help="no-new-privileges, seccomp=FILE|unconfined, systempaths=unconfined", metavar="OPT")
    values("--device", help="let it use a device of the host", metavar="HOST[:TARGET[:rwm]]")
    values("--ulimit", help="set a resource limit", metavar="NAME=SOFT[:HARD]")
    values("--sysctl", help="set a namespaced kernel parameter", metavar="NAME=VALUE")
    values("--group-add", help="add a supplementary group", metavar="GROUP")
    values("--dns", help="name server", metavar="ADDRESS")
    values("--dns-search", help="search domain", metavar="DOMAIN")
    values("--dns-option", help="resolver option", metavar="OPTION", dest="dns_option")
    values("--add-host", help="add a line to /etc/hosts", metavar="NAME:ADDRESS")


def read(options: Namespace) -> CreateOptions:
    """The options as one value. Raises InvalidOption, Unsupported or PathNotFound."""
    env = [item for path in options.env_file for item in syntax.read_env_file(path)]
    labels = [item for path in options.label_file for item in syntax.read_env_file(path)]
    mounts = [
        *map(syntax.parse_volume, options.volume),
        *map(syntax.parse_mount, options.mount),
        *map(syntax.parse_tmpfs, options.tmpfs),
    ]
    return CreateOptions(
        image=options.image,
        command=tuple(options.command),
        name=options.name,
        entrypoint=None if options.entrypoint is None else (options.entrypoint,),
        env=(*syntax.parse_env(env), *syntax.parse_env(options.env)),
        labels=syntax.parse_labels([*labels, *options.label]),
        working_dir=options.workdir,
        user=options.user,
        group_add=tuple(options.group_add),
        hostname=options.hostname,
        domainname=options.domainname,
        tty=options.tty,
        open_stdin=options.interactive,
        mounts=tuple(mounts),
        ports=tuple(options.publish),
        publish_all=options.publish_all,
        expose=tuple(options.expose),
        network=options.network,
        dns=tuple(options.dns),
        dns_search=tuple(options.dns_search),
        dns_options=tuple(options.dns_option),
        add_hosts=tuple(options.add_host),
        read_only=options.read_only,
        privileged=options.privileged,
        cap_add=tuple(options.cap_add),
        cap_drop=tuple(options.cap_drop),
        security_opt=tuple(options.security_opt),
        devices=tuple(map(syntax.parse_device, options.device)),
        resources=resources(options),
        ulimits=tuple(map(syntax.parse_ulimit, options.ulimit)),
        sysctls=_sysctls(options.sysctl),
        shm_size=syntax.parse_size(options.shm_size, "--shm-size") if options.shm_size else None,
        pid=options.pid,
        ipc=options.ipc,
        uts=options.uts,
        init=options.init,
        stop_signal=options.stop_signal,
        stop_timeout=options.stop_timeout,
        restart=syntax.parse_restart(options.restart),
        auto_remove=options.rm,
        platform=options.platform,
        pull=options.pull,
        oom_score_adj=options.oom_score_adj,
    )


def resources(options: Namespace) -> Resources:
    """The limits among the options (`update` has the same ones)."""
    return Resources(
        memory=_size(options.memory, "--memory"),
        memory_reservation=_size(options.memory_reservation, "--memory-reservation"),
        memory_swap=-1 if options.memory_swap == "-1" else _size(options.memory_swap, "--memory-swap"),
        nano_cpus=syntax.parse_cpus(options.cpus) if options.cpus else None,
        cpu_shares=options.cpu_shares,
        cpu_period=options.cpu_period,
        cpu_quota=options.cpu_quota,
        cpuset_cpus=options.cpuset_cpus,
        cpuset_mems=options.cpuset_mems,
        pids_limit=options.pids_limit,
    )


def _size(text: str | None, option: str) -> int | None:
    return None if text is None else syntax.parse_size(text, option)


def _sysctls(items: list[str]) -> dict[str, str]:
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InvalidOption(f'invalid value "{item}" for --sysctl', hint="write NAME=VALUE")
        found[name] = value
    return found


def claim_cidfile(path: str | None) -> None:
    """Refuse a --cidfile that is there already, before anything is made. Raises InvalidOption."""
    if path and os.path.lexists(path):
        raise InvalidOption(
            f'the file "{path}" of --cidfile exists already', hint="remove it, or make sure its container is gone"
        )


def write_cidfile(path: str | None, container_id: str) -> None:
    """Write the ID, whole or not at all."""
    if not path:
        return
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "x") as file:
        file.write(container_id)
    os.rename(temporary, path)
