"""Compare holdall with podman and docker in one run on this machine. Root; `make bench` or `python benchmarks/run.py`.

Everything happens in a network and a mount namespace of the benchmark's own: bridges, packet filter rules and mounts
of all engines end with it, and nobody else's are touched.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import signal
import subprocess
import sys
import tempfile

import measure
import report
from contestants import ColdHoldall, Contestant, Docker, Holdall, Podman, sweep

import holdall
from holdall.linux.namespaces import CLONE_NEWNET, CLONE_NEWNS, unshare
from holdall.testing.command import busybox_available, busybox_tar

NETWORKS = ("none", "host", "bridge")


def main() -> None:
    """Measure, print, clean up. Exit code 1 when something could not be measured or was left behind."""
    options = parse()
    if not busybox_available():
        sys.exit("run as root, with Debian's busybox-static installed")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    unshare(CLONE_NEWNET | CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    cgroups = plain_cgroups()
    # as pip does when it installs; a checkout under PYTHONDONTWRITEBYTECODE compiles its modules for every command
    compileall.compile_dir(os.path.dirname(holdall.__file__), quiet=1)
    folder = tempfile.mkdtemp(prefix="hbench-", dir=options.directory)
    contestants = entrants(folder)
    opened: list[Contestant] = []
    try:
        tar = busybox_tar(folder + "/image.tar")
        for contestant in contestants:
            opened.append(contestant)
            say(f"{contestant.name}: start")
            contestant.open(tar)
        print("\n".join(compare(contestants, options, cgroups)))
    finally:
        left = close(opened, folder)
    if left:
        sys.exit("had to be forced:\n" + "\n".join(left))


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=20, metavar="ROUNDS", help="rounds of each command (default 20)")
    parser.add_argument("--parallel", type=int, default=50, metavar="COUNT", help="containers at once (default 50)")
    parser.add_argument("--parallel-rounds", type=int, default=3, metavar="ROUNDS", help="how often (default 3)")
    parser.add_argument("--directory", default="/tmp", help="where the stores are made (default /tmp)")
    return parser.parse_args()


def plain_cgroups() -> str:
    """Hide an extra cgroup v2 mount beside v1, in our namespace only: podman's default, crun, refuses such a host."""
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return "v2"
    if os.path.ismount("/sys/fs/cgroup/unified"):
        subprocess.run(["mount", "-t", "tmpfs", "none", "/sys/fs/cgroup/unified"], check=True)
        return "v1 (the extra v2 mount hidden for all engines, since crun refuses it)"
    return "v1"


def entrants(folder: str) -> list[Contestant]:
    """Who takes part, in the order of turns."""
    return [
        Holdall(folder + "/w", name="holdall warm", warm=True),
        Holdall(folder + "/s", name="holdall, supervisor only", warm=False),
        ColdHoldall(folder + "/c", name="holdall cold"),
        Podman(folder + "/p"),
        Docker(folder + "/d"),
    ]


def compare(contestants: list[Contestant], options: argparse.Namespace, cgroups: str) -> list[str]:
    """All measurements; the lines of the report."""
    facts = machine(options, cgroups) + [one.facts() for one in (contestants[0], *contestants[3:])]
    names = [contestant.name for contestant in contestants]
    rows = {}
    before = os.getloadavg()
    for network in NETWORKS:
        say(f"run, network {network}")
        rows[f"`run --rm`, network {network}"] = measure.run(contestants, network, options.n)
    running = [one for one in contestants if not isinstance(one, ColdHoldall)]
    say("exec")
    rows["`exec`"] = measure.execute(running, options.n)
    engines = [contestants[0], *contestants[3:]]
    say("memory with no container")
    idle = measure.idle(engines)
    say(f"{options.parallel} at once")
    crowds = measure.crowds(engines, options.parallel, options.parallel_rounds)
    load = [f"load average before {before[0]:.2f}, after {os.getloadavg()[0]:.2f} (this run's own work included)"]
    return [
        *report.listed(facts + load),
        "",
        *report.times(names, rows),
        "",
        *report.targets(rows, crowds["holdall warm"]),
        "",
        *report.crowds(crowds, options.parallel),
        "",
        *report.memory(idle, crowds, options.parallel),
    ]


def machine(options: argparse.Namespace, cgroups: str) -> list[str]:
    """What was measured on, and by which command."""
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    command = f"python benchmarks/run.py -n {options.n} --parallel {options.parallel}"
    command += f" --parallel-rounds {options.parallel_rounds}"
    return [
        f"`{command}`",
        f"{os.cpu_count()} × {model or platform.machine()}, Linux {platform.release()}, cgroup {cgroups}",
    ]


def close(opened: list[Contestant], folder: str) -> list[str]:
    """Take everything down, whatever fails; what had to be forced."""
    left = []
    for contestant in reversed(opened):
        try:
            contestant.close()
        except Exception as error:  # noqa: BLE001  (the others have to be closed all the same)
            left.append(f"{contestant.name}: {error}")
    return left + sweep(folder)


def say(text: str) -> None:
    """Progress, beside the report."""
    print(f"… {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
