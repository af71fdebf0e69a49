"""A service built on a machine that has nothing but a cache in a registry: `python benchmarks/build_cache.py`, root.

The service installs packages of Python modules (fetched from a server on loopback, unpacked, byte-compiled) into a
Debian root. Each measurement has a fresh store with the base image in it. *Cold* has no cache and sends one; the others
have that, and one line of the service or one more requirement.
"""

from __future__ import annotations

import argparse
import functools
import glob
import io
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

import run
from builds import APP, dockerfile, made
from subjects import debian_tar

from holdall.testing.packages import PackageServer
from holdall.testing.registry import RegistryServer

PACKAGES = 50
COPIES = 12
DATA = 100_000
INSTALL = """import compileall, io, os, sys, tarfile, urllib.request
for name in open("/srv/requirements.txt").read().split():
    path = "/cache/" + name
    if not os.path.exists(path):
        with urllib.request.urlopen("http://%s/" % sys.argv[1] + name) as answer, open(path + ".part", "wb") as out:
            out.write(answer.read())
        os.rename(path + ".part", path)
    tarfile.open(path).extractall("/srv/lib/" + name)
    compileall.compile_dir("/srv/lib/" + name, quiet=2)
"""


@functools.cache
def package(name: str) -> bytes:
    """A tar.gz of some of this Python's modules, several times, and of what nothing compresses."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        for number in range(COPIES):
            for path in sorted(glob.glob(os.path.dirname(os.__file__) + "/json/*.py")):
                tar.add(path, f"json{number}/{os.path.basename(path)}")
        member = tarfile.TarInfo("data")
        member.size = DATA
        tar.addfile(member, io.BytesIO(random.Random(name).randbytes(DATA)))
    return out.getvalue()


class Machine:
    """A fresh store with the base image."""

    def __init__(self, folder: str, debian: str) -> None:
        self._command = [os.path.join(os.path.dirname(sys.executable), "holdall"), "--root", folder, "--run-root",
                         folder + "-run"]  # fmt: skip
        self._call("import", debian, "debian-root")
        os.sync()

    def _call(self, *words: str) -> None:
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, timeout=600)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: exit {done.returncode}: {done.stderr[-2000:]}")

    def build(self, context: str, *options: str) -> float:
        """Seconds."""
        start = time.perf_counter()
        self._call("build", "-q", "--network", "host", *options, context)
        return time.perf_counter() - start

    def close(self) -> None:
        """Leave nothing."""
        self._call("system", "reset", "--force")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=3, metavar="ROUNDS")
    parser.add_argument("--images", default="/tmp/hbench-images", help="where the Debian root is made and kept")
    options = parser.parse_args()
    os.makedirs(options.images, exist_ok=True)
    debian = debian_tar(options.images)
    folder = tempfile.mkdtemp(prefix="hbench-")
    found: dict[str, list[tuple[float, int, int]]] = {}
    before = os.getloadavg()[0]
    try:
        with PackageServer(package) as packages:
            for number in range(options.n):
                measure(f"{folder}/{number}", debian, packages, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"load average before {before:.2f}; {PACKAGES} packages of {len(package('')) / 1e6:.2f} MB\n")
    print("| build | seconds, median | part of cold | MB of packages | MB from the registry |")
    print("| --- | --- | --- | --- | --- |")
    medians = {name: [statistics.median(one) for one in zip(*rows, strict=True)] for name, rows in found.items()}
    cold = medians["cold"][0]
    for name, (seconds, sent, fetched) in medians.items():
        print(f"| {name} | {seconds:.2f} | {seconds / cold:.2f} | {sent / 1e6:.2f} | {fetched / 1e6:.2f} |")


def measure(folder: str, debian: str, packages: PackageServer, found: dict[str, list[tuple[float, int, int]]]) -> None:
    """One round."""
    context = made(folder + "/context", {"requirements.txt": names(PACKAGES), "app.py": APP.format(greeting="0"),
                                         "install.py": INSTALL})  # fmt: skip
    dockerfile(
        context, "FROM debian-root", "WORKDIR /srv", "COPY requirements.txt install.py ./",
        f"RUN --mount=type=cache,target=/cache mkdir lib && python3 install.py {packages.address}",
        "COPY app.py .", "RUN python3 -m py_compile app.py", 'CMD ["python3", "app.py"]',
    )  # fmt: skip
    with RegistryServer() as server:
        place = f"type=registry,ref={server.host}/service:cache"
        works = (
            ("cold", {}, ("--cache-to", place + ",mode=max")),
            ("restored, one line changed", {"app.py": APP.format(greeting="1")}, ("--cache-from", place)),
            ("restored, one requirement more", {"requirements.txt": names(PACKAGES + 1)}, ("--cache-from", place)),
        )
        for name, files, options in works:
            for path, text in files.items():
                with open(f"{context}/{path}", "w") as file:
                    file.write(text)
            machine = Machine(f"{folder}/{len(name)}", debian)
            packages.forget()
            server.requests.clear()
            try:
                seconds = machine.build(context, *options)
            finally:
                machine.close()
            found.setdefault(name, []).append((seconds, packages.sent, blobs_read(server)))
            run.say(f"{name}: {seconds:.2f} s")


def blobs_read(server: RegistryServer) -> int:
    """Bytes of the blobs that were asked for."""
    asked = {one.path.rpartition("/")[2] for one in server.requests if one.method == "GET" and "/blobs/" in one.path}
    blobs = server.store.repositories["service"].blobs
    return sum([len(data) for digest, data in blobs.items() if digest in asked])


def names(count: int) -> str:
    """That many requirements."""
    return "".join([f"package-{number}\n" for number in range(count)])


if __name__ == "__main__":
    main()
