"""Firewalls of others that drop forwarded packets: Docker and iptables set the policy of FORWARD to DROP.

A packet must pass every base chain of the hook, so an accept in our own table does not help against another's
policy. Where `FORWARD` of iptables' filter table has policy DROP, two rules that accept our bridge's traffic are
appended to it: at the end, so that every rule of the administrator (DOCKER-USER too) is asked first. What may reach a
container is decided by our own `forward` chain all the same. Chains of native nft tables belong to the administrator
and are left alone; `forward_blocked` names them.
"""

from __future__ import annotations

import errno

from holdall.linux import nftables
from holdall.linux import nftexpr as nft
from holdall.linux.nftables import IPV4, Batch
from holdall.network import legacy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.linux.netlink import Connection

TABLE, CHAIN = "filter", "FORWARD"
_FAMILIES = {nftables.INET: "inet", nftables.IPV4: "ip"}
_TRIES = 8


def _comment(bridge: str) -> str:
    return f"holdall {bridge}"


def _rules(bridge: str) -> tuple[bytes, bytes]:
    accept = nft.counter() + nft.verdict(nft.ACCEPT)
    return nft.in_interface(bridge) + accept, nft.out_interface(bridge) + accept


def _handles(connection: Connection, bridge: str) -> list[int]:
    comment = _comment(bridge)
    return [rule.handle for rule in nftables.rules(connection, IPV4, TABLE, CHAIN) if rule.comment == comment]


def ensure(connection: Connection, bridge: str) -> None:
    """Let the bridge's traffic through iptables' FORWARD where its policy is DROP. Idempotent. Raises OSError."""
    for attempt in range(_TRIES):
        generation = nftables.generation(connection)
        found = nftables.chain(connection, IPV4, TABLE, CHAIN)
        if found is None or found.policy != nft.DROP or len(_handles(connection, bridge)) == len(_rules(bridge)):
            break
        batch = Batch(IPV4)
        for handle in _handles(connection, bridge):
            batch.delete_rule(TABLE, CHAIN, handle)
        for expressions in _rules(bridge):
            batch.add_rule(TABLE, CHAIN, expressions, _comment(bridge))
        try:
            batch.run(connection, generation)
        except OSError as err:
            if err.errno not in (errno.ENOENT, errno.ERESTART) or attempt == _TRIES - 1:
                raise
        else:
            break
    legacy.ensure(bridge)


def remove(connection: Connection, bridge: str) -> None:
    """Take the bridge's rules away again, whatever the policy is now. Idempotent. Raises OSError."""
    for attempt in range(_TRIES):
        batch = Batch(IPV4)
        for handle in _handles(connection, bridge):
            batch.delete_rule(TABLE, CHAIN, handle)
        try:
            batch.run(connection)
        except FileNotFoundError:
            if attempt == _TRIES - 1:
                raise
        else:
            break
    legacy.remove(bridge)


def forward_blocked(bridge: str = "") -> str | None:
    """Which firewall of another drops what containers send and get, as a sentence for `doctor`, or None.

    With `bridge`, chains that hold our rules for it do not count. Raises OSError.
    """
    connection = nftables.shared()
    for item in nftables.chains(connection, 0):
        if item.hook != nftables.FORWARD or item.policy != nft.DROP or item.family not in _FAMILIES:
            continue
        if (item.family, item.table, item.name) == (IPV4, TABLE, CHAIN) and bridge and _handles(connection, bridge):
            continue
        family = _FAMILIES[item.family]
        return f'chain "{item.name}" of nft table "{family} {item.table}" drops forwarded packets by its policy'
    return legacy.blocked(bridge)
