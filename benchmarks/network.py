"""How long the network's steps take: run as root, in a network namespace of its own. `python benchmarks/network.py`."""

from __future__ import annotations

import os
import statistics
import time

from holdall.linux.namespaces import CLONE_NEWNET, open_own, setns, unshare
from holdall.network import bridge, veth
from holdall.network.plan import PortBinding, make_attachment, make_plan

ROUNDS = 50


def timed(work, *arguments, **options):
    start = time.perf_counter()
    work(*arguments, **options)
    return (time.perf_counter() - start) * 1000


def namespaces(home, count):
    made = []
    for _ in range(count):
        unshare(CLONE_NEWNET)
        made.append(open_own("network"))
        setns(home, CLONE_NEWNET)
    return made


def report(what, times):
    print(f"{what:44} best {min(times):6.2f}  median {statistics.median(times):6.2f}  worst {max(times):6.2f} ms")


def attach_and_detach(home, plan, ports, *, dying):
    base = plan.subnet.rpartition(".")[0]
    held = namespaces(home, ROUNDS)
    attachments = [
        make_attachment(
            plan,
            f"{number:03x}456789abc",
            f"{base}.{number + 2}/24",
            [PortBinding("tcp", "", 20000 + number * 10 + port, 80 + port) for port in range(ports)],
        )
        for number in range(ROUNDS)
    ]
    times = [timed(veth.attach, attachment, fd) for attachment, fd in zip(attachments, held, strict=True)]
    report(f"attach, {ports} ports", times)
    if dying:
        for fd in held:
            os.close(fd)
    times = [timed(veth.detach, attachment, dying=dying) for attachment in attachments]
    report(f"detach, {ports} ports{', namespace dying' if dying else ''}", times)
    if not dying:
        for fd in held:
            os.close(fd)
    time.sleep(0.5)


def main():
    unshare(CLONE_NEWNET)
    home = open_own("network")
    plan = make_plan("bridge", "0badcafe", [])
    report("ensure, nothing there", [timed(bridge.ensure, plan)])
    report("ensure, all there", [timed(bridge.ensure, plan) for _ in range(ROUNDS)])
    for ports in (0, 1, 10):
        attach_and_detach(home, plan, ports, dying=True)
    attach_and_detach(home, plan, 1, dying=False)
    report("remove", [timed(bridge.remove, plan)])


if __name__ == "__main__":
    main()
