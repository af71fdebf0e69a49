"""What the first and the hundredth container of an image cost in mounts and memory. Root; holdall only.

Ten layers are made from a Debian root (see subjects.py), mounted as the supervisor mounts them, and mounted again;
then two containers read every file of the one-layer image, and the page cache is looked at before, between and after.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import report
from subjects import debian_tar, split_tars

from holdall import Engine
from holdall.linux.namespaces import CLONE_NEWNS, unshare
from holdall.runtime import layers
from holdall.store.layer_maker import LayerMaker

READ_ALL = "find / -xdev -type f -exec cat {} + > /dev/null"
COMMAND = os.path.join(os.path.dirname(sys.executable), "holdall")


def main() -> None:
    """Measure, print, clean up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=20, metavar="ROUNDS", help="rounds of each mount (default 20)")
    parser.add_argument("--images", default="/tmp/hbench-images", help="where the images are made and kept")
    options = parser.parse_args()
    unshare(CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    os.makedirs(options.images, exist_ok=True)
    debian = debian_tar(options.images)
    folder = tempfile.mkdtemp(prefix="hbench-")
    try:
        rows = [mounts(folder, tars, options.n) for tars in ([debian], split_tars(debian, options.images))]
        print("\n".join(report.table(["layers", "first mount, ms", "already mounted, ms"], rows)), end="\n\n")
        print("\n".join(report.table(["page cache", "MiB"], memory(folder, debian))))
    finally:
        command(folder, "system", "reset", "--force")
        shutil.rmtree(folder, ignore_errors=True)


def mounts(folder: str, tars: list[str], rounds: int) -> list[str]:
    """A row: median of mounting all layers, and of finding them mounted."""
    with Engine(folder + "/root", folder + "/run") as engine:
        store = engine.images.writing
        with store.hold() as hold:
            diff_ids = [make(store, hold, tar) for tar in tars]
            wanted = engine.snapshots.mounts(diff_ids)
            first, again = [], []
            for _ in range(rounds):
                layers.clear(engine.paths.layer_mounts)
                first.append(timed(wanted))
                again.append(timed(wanted))
            layers.clear(engine.paths.layer_mounts)
    return [str(len(tars)), f"{statistics.median(first):.2f}", f"{statistics.median(again):.3f}"]


def make(store, hold, tar: str) -> str:
    """A layer of the store from a tar; its diff-id."""
    with LayerMaker(store.snapshots, hold, "none") as maker, open(tar, "rb") as stream:
        while data := stream.read(1 << 20):
            maker.write(data)
        return str(maker.commit().diff_id)


def timed(wanted) -> float:
    """Milliseconds to have the layers mounted."""
    start = time.perf_counter()
    layers.ensure(wanted)
    return (time.perf_counter() - start) * 1000


def memory(folder: str, tar: str) -> list[list[str]]:
    """What two containers that read everything add to the page cache."""
    command(folder, "import", tar, "debian")
    keep = command(folder, "run", "-d", "--network", "none", "debian", "sleep", "1000").strip()
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
    figures = [cached()]
    for _ in range(2):
        command(folder, "run", "--rm", "--network", "none", "debian", "sh", "-c", READ_ALL)
        figures.append(cached())
    command(folder, "rm", "-f", keep)
    first, second = figures[1] - figures[0], figures[2] - figures[1]
    return [
        ["first container reading every file", f"+{first:.0f}"],
        ["second container reading the same", f"{second:+.1f} ({100 * second / first:.1f} %)"],
    ]


def cached() -> float:
    """MiB of page cache."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("Cached:"))


def command(folder: str, *words: str) -> str:
    """Standard output of a command that has to work."""
    options = ["--root", folder + "/root", "--run-root", folder + "/run"]
    return subprocess.run([COMMAND, *options, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
