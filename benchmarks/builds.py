"""Compare builds: rebuilds without changes, 10,000 files copied, independent stages, one changed line.

Root; `python benchmarks/builds.py`. Against `buildah build --layers` (with runc: crun refuses what buildah asks of
cgroup v1) and Debian's `docker build`, the classic builder and BuildKit as dockerd 20.10 has it. Base images are made
here and imported into each store. RUN has no network anywhere. Like run.py it lives in namespaces of its own; each
round every contestant has its turn. *holdall* has nothing running when a build starts, *holdall warm* a container.
"""

from __future__ import annotations

import argparse
import compileall
import os
import random
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
from subjects import debian_tar

import holdall
from holdall.linux.namespaces import CLONE_NEWNET, CLONE_NEWNS, unshare

DOCKER = "/usr/bin/docker"
WARM = "holdall warm"
QUIET = ("-q", "--network", "none")
FILES = 10_000
PROJECT = 2_000
STEPS = 20
STAGES = 4
APP = """from http.server import BaseHTTPRequestHandler, HTTPServer


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{greeting}")


if __name__ == "__main__":
    HTTPServer(("", 8000), Service).serve_forever()
"""


class Builder:
    """A contestant with the words of its build command."""

    def __init__(self, name: str, engine: Contestant, words: list[str], environment: dict[str, str] | None = None):
        self.name = name
        self.engine = engine
        self._words = words
        self._environment = {**engine.environment, **(environment or {})}

    def build(self, folder: str, tag: str, *options: str) -> float:
        """Seconds of a build that has to work."""
        words = [*self._words, "-t", tag, *options, folder]
        start = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True, env=self._environment, timeout=600)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"{' '.join(words)}: exit {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return seconds


class DebianDocker(Docker):
    """The daemon with Debian's own client."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.prefix[0] = DOCKER


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
    engines: list[Contestant] = [
        Holdall(folder + "/h", name="holdall", warm=False, grace="1"),
        Holdall(folder + "/w", name=WARM, warm=True),
        Podman(folder + "/p"),
        DebianDocker(folder + "/d"),
    ]
    opened: list[Contestant] = []
    before = os.getloadavg()
    try:
        os.makedirs(options.images, exist_ok=True)
        tar, debian = run.busybox_tar(folder + "/image.tar"), debian_tar(options.images)
        for one in engines:
            opened.append(one)
            run.say(f"{one.name}: start")
            one.open(tar)
            one.output("import", debian, "debian-root")
            if one.name != WARM:
                one.output("rm", "-f", *one.remove_options, "kept")
        builders = entrants(engines)
        rows = [work(builders, folder, options.n) for work in WORKS if options.only in work.__name__]
        load = f"load average before {before[0]:.2f}, after {os.getloadavg()[0]:.2f} (this run's own work included)"
        facts = [
            f"`python benchmarks/builds.py -n {options.n}`",
            *run.machine(argparse.Namespace(n=0, parallel=0, parallel_rounds=0), cgroups)[1:],
            *[one.facts() for one in engines],
            subprocess.getoutput("buildah --version"),
            load,
        ]
        print("\n".join([*report.listed(facts), "", *table(rows)]))
    finally:
        left = run.close(opened, folder)
    if left:
        sys.exit("had to be forced:\n" + "\n".join(left))


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=5, metavar="ROUNDS", help="rounds of each (default 5)")
    parser.add_argument("--directory", default="/tmp", help="where the stores are made (default /tmp)")
    parser.add_argument("--images", default="/tmp/hbench-images", help="where the Debian root is made and kept")
    parser.add_argument("--only", default="", help="only the work whose name contains this")
    return parser.parse_args()


def entrants(engines: list[Contestant]) -> list[Builder]:
    """Who builds, in the order of turns."""
    ours, warm, podman, docker = engines
    store = ["--root", podman.folder + "/root", "--runroot", podman.folder + "/run"]
    buildah = ["buildah", *store, "build", "--layers", "--runtime", "/usr/sbin/runc"]
    classic = [*docker.prefix, "build", *QUIET]
    return [
        Builder("holdall", ours, [*ours.prefix, "build", *QUIET]),
        Builder(WARM, warm, [*warm.prefix, "build", *QUIET]),
        Builder("buildah", podman, [*buildah, *QUIET]),
        Builder("docker, classic", docker, classic, {"DOCKER_BUILDKIT": "0"}),
        Builder("docker, BuildKit", docker, classic, {"DOCKER_BUILDKIT": "1"}),
    ]


def measured(builders: list[Builder], rounds: int, once) -> dict[str, list[float]]:
    """Seconds by builder; `once(builder, round)` is one measurement."""
    times: dict[str, list[float]] = {one.name: [] for one in builders}
    for number in range(rounds):
        for one in builders:
            os.sync()
            time.sleep(0.3)
            times[one.name].append(once(one, number))
            run.say(f"{one.name} {times[one.name][-1]:.2f} s")
    return times


def unchanged(builders: list[Builder], folder: str, rounds: int):
    """No-change rebuild of 20 steps."""
    return rebuilt(builders, f"{folder}/unchanged", rounds, unchanged.__doc__, {"a.txt": "a", "b/c.txt": "c"})


def project(builders: list[Builder], folder: str, rounds: int):
    """No-change rebuild of 20 steps with a project of 2,000 files."""
    dice = random.Random(3)
    files = {f"b/folder{number % 100}/file{number}.js": source(dice, number) for number in range(PROJECT)}
    return rebuilt(builders, f"{folder}/project", rounds, project.__doc__, {"a.txt": "a", **files})


def rebuilt(builders: list[Builder], context: str, rounds: int, what: str, files: dict[str, str]):
    """Rebuilds of the same 20 steps, two of which copy the files."""
    run.say(what)
    made(context, files)
    lines = [f"RUN echo {number} > /file{number}" for number in range(STEPS - 6)]
    lines += ["WORKDIR /work", "COPY a.txt /a.txt", "COPY b ./b", "ENV NAME=value", "LABEL key=value", 'CMD ["true"]']
    dockerfile(context, "FROM busy", *lines)
    for one in builders:
        one.build(context, "unchanged")
    return what, 1 / 5, measured(builders, rounds, lambda one, _: one.build(context, "unchanged"))


def copied(builders: list[Builder], folder: str, rounds: int):
    """COPY of 10,000 files, nothing cached."""
    run.say(copied.__doc__)
    context = f"{folder}/copied"
    dice = random.Random(2)
    made(context, {f"tree/folder{number % 200}/file{number}.js": source(dice, number) for number in range(FILES)})
    dockerfile(context, "FROM busy", "COPY tree /tree")
    return copied.__doc__, 1 / 2, measured(builders, rounds, lambda one, _: one.build(context, "copied", "--no-cache"))


def stages(builders: list[Builder], folder: str, rounds: int):
    """Cold build with four independent stages."""
    run.say(stages.__doc__)
    context = made(f"{folder}/stages", {"a.txt": "a"})
    work = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo $i > /made{0}; sleep 0.3"
    lines = []
    for number in range(STAGES):
        lines += [f"FROM busy AS part{number}", "COPY a.txt /a.txt", f"RUN {work.format(number)}"]
    lines += ["FROM busy", *[f"COPY --from=part{number} /made{number} /" for number in range(STAGES)]]
    dockerfile(context, *lines)
    return stages.__doc__, 0.8, measured(builders, rounds, lambda one, _: one.build(context, "stages", "--no-cache"))


def service(builders: list[Builder], folder: str, rounds: int):
    """One changed line in a small Python service."""
    run.say(service.__doc__)
    context = made(f"{folder}/service", {"requirements.txt": "none\n", "app.py": APP.format(greeting="0")})
    dockerfile(
        context, "FROM debian-root", "WORKDIR /srv", "COPY requirements.txt .",
        "RUN mkdir lib && cp -r /usr/lib/python3*/json /usr/lib/python3*/http lib && python3 -m compileall -q lib",
        "COPY app.py .", "RUN python3 -m py_compile app.py", "EXPOSE 8000", 'CMD ["python3", "app.py"]',
    )  # fmt: skip
    for one in builders:
        one.build(context, "service")

    def once(one: Builder, number: int) -> float:
        with open(context + "/app.py", "w") as file:
            file.write(APP.format(greeting=f"{one.name} {number}"))
        return one.build(context, "service")

    return service.__doc__, 1 / 2, measured(builders, rounds, once)


def source(dice: random.Random, number: int) -> str:
    """A source file of some kilobytes."""
    return f"module.exports = {number};\n" + dice.randbytes(64).hex() * dice.randrange(1, 40)


WORKS = (unchanged, project, copied, stages, service)


def made(context: str, files: dict[str, str]) -> str:
    """A folder with these files, older than any cache is wary of."""
    shutil.rmtree(context, ignore_errors=True)
    for name, text in files.items():
        path = f"{context}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
    time.sleep(2.2)
    return context


def dockerfile(context: str, *lines: str) -> None:
    """The context's Dockerfile."""
    with open(context + "/Dockerfile", "w") as file:
        file.write("\n".join(lines) + "\n")


def table(rows) -> list[str]:
    """Medians, and as what part of each peer's ours come out, cold and warm."""
    ours, warm, *peers = rows[0][2]
    lines = []
    for what, bound, times in rows:
        median = {name: statistics.median(found) for name, found in times.items()}
        cells = [f"{median[ours]:.2f} s", f"{median[warm]:.2f} s"]
        cells += [
            f"{median[name]:.2f} s: {median[ours] / median[name]:.2f}, {median[warm] / median[name]:.2f}"
            for name in peers
        ]
        kept = [name for name in peers if median[ours] <= bound * median[name]]
        verdict = "yes" if kept == peers else ("against " + ", ".join(kept) if kept else "**no**")
        lines.append([what.rstrip("."), *cells, f"≤ {bound:.2g}", verdict])
    return report.table(["median", ours, warm, *[f"{name}: shares" for name in peers], "bound", "holds, cold"], lines)


if __name__ == "__main__":
    main()
