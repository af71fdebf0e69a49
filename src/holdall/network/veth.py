"""A container on its bridge: the veth pair, what is set inside the network namespace, the published ports.

`attach` works for a single-threaded caller: it steps into the container's namespace for as long as it takes to open a
netlink socket there (the socket stays inside) and to switch IPv6 off on the interface, which has no netlink message.
"""

from __future__ import annotations

import errno
import os

from holdall.linux import netlink, nftables, rtnetlink
from holdall.linux.namespaces import CLONE_NEWNET, open_own, setns
from holdall.network import published, sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.linux.netlink import Connection
    from holdall.network.plan import Attachment


def attach(attachment: Attachment, netns_fd: int) -> None:
    """Connect the namespace to the bridge (`bridge.ensure` made it) and publish the ports. The caller has one thread.

    What an earlier, killed attempt left under the same name is replaced; after a failure nothing is left on the host.
    Raises OSError naming the interface, bridge, address or table.
    """
    with netlink.Connection(netlink.ROUTE) as host:
        _make_pair(host, attachment, netns_fd)
        try:
            with _enter(netns_fd, attachment.ifname) as inside:
                _configure(inside, attachment)
            with nftables.open_netfilter() as netfilter:
                published.publish(netfilter, attachment)
        except BaseException:
            host.transact([rtnetlink.delete_link(attachment.host_ifname)])
            raise


def _make_pair(host: Connection, attachment: Attachment, netns_fd: int) -> None:
    name = attachment.host_ifname
    bridge = rtnetlink.index_of(attachment.bridge)
    make = rtnetlink.new_veth(name, attachment.ifname, netns_fd, bridge, attachment.mac, attachment.mtu)
    steps = [rtnetlink.no_ipv6_address(name), rtnetlink.set_up(name)]
    if attachment.ports and sysctl.bridged_packets_are_filtered():
        steps.insert(0, rtnetlink.hairpin(name))
    try:
        host.transact([make])
    except FileExistsError:
        host.transact([rtnetlink.delete_link(name)])
        host.transact([make])
    try:
        host.transact(steps)
    except BaseException:
        host.transact([rtnetlink.delete_link(name)])
        raise


def _enter(netns_fd: int, ifname: str) -> Connection:
    home = open_own("network")
    try:
        setns(netns_fd, CLONE_NEWNET, "container network namespace")
        try:
            sysctl.disable_ipv6(ifname)
            return netlink.Connection(netlink.ROUTE)
        finally:
            setns(home, CLONE_NEWNET, "own network namespace")
    finally:
        os.close(home)


def _configure(inside: Connection, attachment: Attachment) -> None:
    found = rtnetlink.link(inside, attachment.ifname)
    if found is None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), attachment.ifname)
    inside.transact(
        [
            rtnetlink.set_up("lo"),
            rtnetlink.add_address(found.index, attachment.ip, attachment.prefix),
            rtnetlink.set_up(attachment.ifname),
            rtnetlink.default_route(attachment.gateway, found.index),
        ]
    )


def detach(attachment: Attachment) -> None:
    """Withdraw the ports and delete the veth pair. Idempotent: what is gone is fine. Raises OSError."""
    with nftables.open_netfilter() as netfilter:
        published.withdraw(netfilter, attachment)
    with netlink.Connection(netlink.ROUTE) as host:
        host.transact([rtnetlink.delete_link(attachment.host_ifname)])
