"""A container on its bridge: the veth pair, what is set inside the network namespace, the published ports.

`attach` works for a single-threaded caller: it steps into the container's namespace for as long as it takes to open a
netlink socket there (the socket stays inside) and to switch IPv6 off on the interface, which has no netlink message.
"""

from __future__ import annotations

import errno
import os
import time

from holdall.linux import netlink, nftables, rtnetlink
from holdall.linux.namespaces import CLONE_NEWNET, open_own, setns
from holdall.network import published, sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.linux.netlink import Connection
    from holdall.linux.rtnetlink import Link
    from holdall.network.plan import Attachment

_TRIES, _PAUSE = 50, 0.001


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
            port = _await(host, attachment.host_ifname)
            _await(host, attachment.bridge)
            # a dying container that had the address before may still have its port on the bridge
            host.transact([rtnetlink.claim_address(port.index, attachment.mac)])
            published.publish(nftables.shared(), attachment)
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
    found = _need(inside, attachment.ifname)
    inside.transact(
        [
            rtnetlink.set_up("lo"),
            rtnetlink.add_address(found.index, attachment.ip, attachment.prefix),
            rtnetlink.set_up(attachment.ifname),
            rtnetlink.default_route(attachment.gateway, found.index),
        ]
    )


def _await(host: Connection, name: str) -> Link:
    """The link, once packets pass it or 50 ms are over. Raises OSError(ENODEV) when it is gone.

    A carrier that came on opens the queue and the bridge port only when the kernel's link watch has run; until then
    packets are dropped, and a first connection would take a second. Since 6.7 the question itself makes it run.
    """
    found = _need(host, name)
    for _ in range(_TRIES):
        if found.works:
            break
        time.sleep(_PAUSE)
        found = _need(host, name)
    return found


def _need(connection: Connection, name: str) -> Link:
    found = rtnetlink.link(connection, name)
    if found is None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
    return found


def detach(attachment: Attachment, *, dying: bool = False) -> None:
    """Withdraw the ports and delete the veth pair. Idempotent: what is gone is fine. Raises OSError.

    To delete an interface takes the kernel some 15 ms, in which the caller waits. With `dying` the pair is left to the
    kernel, which deletes it behind our back once the namespace's last process and descriptor are gone.
    """
    published.withdraw(nftables.shared(), attachment)
    if dying:
        return
    with netlink.Connection(netlink.ROUTE) as host:
        host.transact([rtnetlink.delete_link(attachment.host_ifname)])
