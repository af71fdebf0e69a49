"""etc/hosts, etc/hostname and etc/resolv.conf of a container, written before each start."""

from __future__ import annotations

from holdall.engine.names import short
from holdall.network import files
from holdall.supervisor.durable import write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.config import StoredConfig
    from holdall.network.plan import Attachment
    from holdall.store.containers import ContainerRow

MAX_FILE = 1 << 20
FILE_TARGETS = ("/etc/resolv.conf", "/etc/hostname", "/etc/hosts")
HOSTS = "/etc/hosts"
RESOLV = "/etc/resolv.conf"
SYSTEMD_RESOLV = "/run/systemd/resolve/resolv.conf"


def write_network_files(row: ContainerRow, config: StoredConfig, folder: str, attachment: Attachment | None) -> None:
    """Write the three files into the container's etc/. Raises InvalidOption for a malformed --dns or --add-host."""
    options = config.options
    hostname = options.hostname or short(row.id)
    for name, text in (
        ("hostname", hostname + "\n"),
        ("hosts", hosts(config, hostname, attachment)),
        ("resolv.conf", resolv_conf(config)),
    ):
        # in place where it is unchanged: most starts write nothing
        path = f"{folder}/etc/{name}"
        if not text or read_text(path) != text:
            write_atomic(path, text.encode(), durable=False, mode=0o644, shared=True)


def hosts(config: StoredConfig, hostname: str, attachment: Attachment | None) -> str:
    """etc/hosts: the host's own, if any, with the host's network, else ours with the container's address and names."""
    options = config.options
    extra = tuple([files.parse_add_host(text) for text in options.add_hosts])
    if options.network == "host":
        own = read_text(HOSTS) or files.hosts()
        return own + "".join([f"{entry.address}\t{entry.name}\n" for entry in extra])
    names = (f"{hostname}.{options.domainname}", hostname) if options.domainname else (hostname,)
    if attachment is None:
        return files.hosts("", (), extra)
    return files.hosts(attachment.address, names, extra, gateway=attachment.gateway)


def resolv_conf(config: StoredConfig) -> str:
    """etc/resolv.conf from the host's and the caller's wishes."""
    options = config.options
    return files.resolv_conf(
        read_text(RESOLV),
        servers=tuple([files.check_server(text) for text in options.dns]),
        search=tuple([files.check_search(text) for text in options.dns_search]),
        options=options.dns_options,
        upstream=read_text(SYSTEMD_RESOLV),
        own_network=options.network != "host",
    )


def read_text(path: str) -> str:
    """A small text file of the host; "" when it is missing."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MAX_FILE)
    except OSError:
        return ""
