"""Compare moving images: pull, disk after pull, push, by holdall, podman and docker over one loopback registry.

Root; `make bench-images` or `python benchmarks/images.py`. Each pull begins with a store that does not have the image;
before each measurement sync(2) has written what earlier ones left. Like run.py it lives in namespaces of its own.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import report
import run
from contestants import Contestant, Docker, Holdall, Podman
from subjects import debian_tar, subjects

import holdall
from holdall.linux.namespaces import CLONE_NEWNET, CLONE_NEWNS, unshare
from holdall.testing.docker_registry import DockerRegistry

LOOSE = {"podman": ["--tls-verify=false"], "holdall": ["--tls-verify=false"], "docker": []}


def main() -> None:
    """Measure, print, clean up."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    unshare(CLONE_NEWNET | CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    cgroups = run.plain_cgroups()
    compileall.compile_dir(os.path.dirname(holdall.__file__), quiet=1)
    folder = tempfile.mkdtemp(prefix="hbench-", dir=options.directory)
    contestants: list[Contestant] = [
        Holdall(folder + "/w", name="holdall", warm=not options.cold), Podman(folder + "/p"), Docker(folder + "/d"),
    ]  # fmt: skip
    os.mkdir(folder + "/registry")
    registry = DockerRegistry(folder + "/registry")
    opened: list[Contestant] = []
    try:
        images = subjects(options.images)
        registry.start()
        for number, layout in enumerate(images.values()):
            copy = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}"]
            subprocess.run([*copy, f"docker://{registry.host}/bench{number}:1"], check=True)
        tar = run.busybox_tar(folder + "/image.tar")
        for one in contestants:
            opened.append(one)
            one.open(tar)
        rows = [pulls(contestants, name, f"{registry.host}/bench{number}:1", options.n)
                for number, name in enumerate(images) if options.only in name]  # fmt: skip
        pushed = pushes(contestants, registry, debian_tar(options.images), options.n)
        facts = [*run.machine(argparse.Namespace(n=options.n, parallel=0, parallel_rounds=0), cgroups)[1:],
                 *[one.facts() for one in contestants]]  # fmt: skip
        print("\n".join([*report.listed([f"`python benchmarks/images.py -n {options.n}`", *facts]), ""]))
        print("\n".join(table("pull", [(name, times) for name, times, _ in rows])), end="\n\n")
        print("\n".join(disks(rows)), end="\n\n")
        print("\n".join(table("push of an imported Debian root", [("one layer", pushed)])))
    finally:
        registry.kill()
        left = run.close(opened, folder)
    if left:
        sys.exit("had to be forced:\n" + "\n".join(left))


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=3, metavar="ROUNDS", help="rounds of each (default 3)")
    parser.add_argument("--directory", default="/tmp", help="where the stores are made (default /tmp)")
    parser.add_argument("--images", default="/tmp/hbench-images", help="where the images are made and kept")
    parser.add_argument("--only", default="", help="only the image whose name contains this")
    parser.add_argument("--cold", action="store_true", help="holdall without its warm process")
    return parser.parse_args()


def pulls(contestants: list[Contestant], name: str, image: str, rounds: int):
    """Seconds of each pull, and the bytes that the last left on disk, by contestant."""
    times: dict[str, list[float]] = {one.name: [] for one in contestants}
    disk: dict[str, int] = {}
    for _ in range(rounds):
        for one in contestants:
            before = usage(one.folder)
            times[one.name].append(timed(one, "pull", *LOOSE[one.name], image))
            os.sync()
            disk[one.name] = usage(one.folder) - before
            one.output("rmi", "-f", image)
            run.say(f"pull {name}: {one.name} {times[one.name][-1]:.2f} s, {disk[one.name] >> 20} MiB")
    return name, times, disk


def pushes(contestants: list[Contestant], registry: DockerRegistry, tar: str, rounds: int) -> dict[str, list[float]]:
    """Seconds to push an image that `import` has just made; the registry has none of it."""
    times: dict[str, list[float]] = {one.name: [] for one in contestants}
    for one in contestants:
        for number in range(rounds):
            image = f"{registry.host}/push-{one.name}:{number}"
            one.output("import", tar, image)
            empty(registry)
            times[one.name].append(timed(one, "push", *LOOSE[one.name], image))
            one.output("rmi", "-f", image)
            run.say(f"push: {one.name} {times[one.name][-1]:.2f} s")
    return times


def empty(registry: DockerRegistry) -> None:
    """Stop the registry, delete what it holds, start it again at the same address."""
    host = registry.host
    registry.kill()
    shutil.rmtree(registry.folder + "/storage", ignore_errors=True)
    registry.start(host)


def timed(one: Contestant, *words: str) -> float:
    """Seconds of a command that has to work; nothing is left to be written when it begins."""
    os.sync()
    time.sleep(0.5)
    start = time.perf_counter()
    one.output(*words)
    return time.perf_counter() - start


def usage(folder: str) -> int:
    """Bytes on disk below a folder, on this file system only (no mounted layers)."""
    done = subprocess.run(["du", "-sx", "--block-size=1", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return int(done.stdout.split()[0])


def table(work: str, rows: list[tuple[str, dict[str, list[float]]]]) -> list[str]:
    """Median seconds and the ratio to holdall's."""
    names = list(rows[0][1])
    lines = []
    for name, times in rows:
        base = statistics.median(times[names[0]])
        cells = [f"{statistics.median(times[one]):.2f} s × {statistics.median(times[one]) / base:.1f}" for one in names]
        lines.append([name, *cells])
    return [f"{work}: median and ratio to holdall:", "", *report.table(["image", *names], lines)]


def disks(rows) -> list[str]:
    """MiB on disk after the pull."""
    names = list(rows[0][2])
    lines = [[name, *[f"{disk[one] / (1 << 20):.0f} MiB" for one in names]] for name, _, disk in rows]
    return ["disk after pull:", "", *report.table(["image", *names], lines)]


if __name__ == "__main__":
    main()
