"""Collect garbage while clients push and pull: `python benchmarks/registry_gc.py --size 20` (GB; needs as much disk).

The same clients run before, during and after the collection; "idle" is before and after. Garbage and the blobs that
stay (100,000, which is also what the start is timed with) are put into the storage as a server would have left them.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time

from holdall.oci.digest import Digest
from holdall.oci.mediatype import OCI_LAYER, OCI_MANIFEST
from holdall.registry.server.blobfiles import sync_folder
from holdall.registry.server.shelf import open_local
from holdall.testing.holdall_registry import HoldallRegistry
from holdall.testing.served import manifest

MIB = 1 << 20
SIZES = ((256 * MIB, 0.4), (32 * MIB, 0.4), (2 * MIB, 0.2))
"""Lengths of blobs that are garbage, and which part of its bytes they are."""
LAYERS = 25
PROCESSES = 4
CONFIG = b"{}"

Sample = tuple[float, float, str, bool]
"""When a request began, how long it took, what it was, whether it failed."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=2.0, metavar="GB", help="garbage")
    parser.add_argument("--manifests", type=int, default=2_000, help="manifests without tag that are garbage too")
    parser.add_argument("--blobs", type=int, default=100_000, help="small blobs that stay")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=float, default=6.0, help="requests/s of each client (0: as many as it can)")
    parser.add_argument("--blob", type=int, default=1024, metavar="KIB", help="length of what clients push and pull")
    parser.add_argument("-s", type=float, default=20.0, metavar="SECONDS", help="before, and after")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--command", action="store_true", help="`holdall registry gc` instead of the server's janitor")
    parser.add_argument("--folder", default=None, help="where to make the storage (default: the temporary folder)")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="hgc-", dir=options.folder)
    try:
        run(options, folder)
    finally:
        shutil.rmtree(folder)


def run(options: argparse.Namespace, folder: str) -> None:
    """Fill, serve, measure."""
    storage = f"{folder}/storage"
    seed_rows(storage, options.blobs, options.manifests)
    octets = seed_garbage(storage, options.size * 1e9)
    os.sync()
    server = HoldallRegistry(folder, "--workers", options.workers, "--gc-every", "24h", "--gc-untagged", "0s")
    begun = time.monotonic()
    with server:
        get(server.host, "/v2/live/tags/list")
        print(f"first answer {time.monotonic() - begun:.2f} s after the start, with {options.blobs:,} blobs")
        gone: list[float] = []
        clients = Clients(options, server.host)
        time.sleep(options.s)
        started = time.monotonic()
        collect(server, command=options.command)
        ended = time.monotonic()
        time.sleep(options.s)
        samples = clients.stop()
        gone.append(ended - started)
    left = sum(os.stat(f"{storage}/trash/{name}").st_size for name in os.listdir(f"{storage}/trash"))
    print(f"collected {(octets - left) / 1e9:.1f} of {octets / 1e9:.1f} GB in {ended - started:.0f} s, load {load()}\n")
    report(samples, started, ended)


def load() -> str:
    """The machine's load average of the last minute."""
    with open("/proc/loadavg") as file:
        return file.read().split()[0]


def report(samples: list[Sample], started: float, ended: float) -> None:
    """A table by kind of request, then what failed."""
    print(
        "| request | idle: number, p50, p99, max | collecting: number, p50, p99, max | p99 ratio |\n|---|---|---|---|"
    )
    for kind in [*sorted({one[2] for one in samples}), "all"]:
        found = [one for one in samples if kind in (one[2], "all")]
        idle = sorted(one[1] for one in found if one[0] + one[1] < started or one[0] > ended)
        busy = sorted(one[1] for one in found if one[0] + one[1] >= started and one[0] <= ended)
        if idle and busy:
            print(f"| {kind} | {figures(idle)} | {figures(busy)} | {at(busy, 0.99) / at(idle, 0.99):.2f} |")
    failed = [one for one in samples if one[3]]
    print(f"\n{len(failed)} of {len(samples):,} requests failed")
    sys.exit(1 if failed else 0)


def figures(seconds: list[float]) -> str:
    """Number, median, 99th percentile and longest in milliseconds."""
    return f"{len(seconds):,}, {at(seconds, 0.5) * 1e3:.1f}, {at(seconds, 0.99) * 1e3:.0f}, {seconds[-1] * 1e3:.0f} ms"


def at(values: list[float], part: float) -> float:
    """A quantile of sorted values."""
    return values[min(int(len(values) * part), len(values) - 1)]


def collect(server: HoldallRegistry, *, command: bool) -> None:
    """One round of collection, waited for."""
    if command:
        server.run("gc", "--untagged", "0s", limit=3_600.0)
        return
    os.kill(janitor(server.pid), signal.SIGUSR1)
    while b"gc_rounds_total 0" in get(server.host, "/metrics"):
        time.sleep(0.2)


def janitor(parent: int) -> int:
    """The process that collects."""
    with open(f"/proc/{parent}/task/{parent}/children") as file:
        for pid in file.read().split():
            with open(f"/proc/{pid}/cmdline") as title:
                if "janitor" in title.read():
                    return int(pid)
    raise RuntimeError("there is no janitor")


def get(host: str, path: str) -> bytes:
    """The body of an answer."""
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


def name(number: int) -> str:
    """A digest that no bytes have."""
    return "sha256:" + hashlib.sha256(f"garbage {number}".encode()).hexdigest()


def seed_rows(storage: str, blobs: int, manifests: int) -> None:
    """Small blobs held by tagged manifests in the repository "live", and manifests without tag in "old"."""
    catalog, files = open_local(storage)
    catalog.close()
    small = [f"blob {number}".encode() for number in range(blobs)]
    for shard in range(256):
        os.makedirs(f"{storage}/blobs/sha256/{shard:02x}", exist_ok=True)
    with sqlite3.connect(f"{storage}/registry.db") as db:
        db.executemany("INSERT INTO repositories VALUES (?, ?)", [(1, "live"), (2, "old")])
        for number, data in enumerate([CONFIG, *small], 1):
            digest = Digest.of(data)
            with open(files.path(digest), "wb") as file:
                file.write(data)
            db.execute("INSERT INTO blobs VALUES (?, ?, ?)", (number, str(digest), len(data)))
            db.execute("INSERT INTO links VALUES (1, ?, 0)", (number,))
        db.execute("INSERT INTO links VALUES (2, 1, 0)")
        for start in range(0, blobs, LAYERS):
            layers = [entry(data) for data in small[start : start + LAYERS]]
            add_manifest(db, 1, manifest(Digest.of(CONFIG), 2, layers=layers), f"t{start}")
        for number in range(manifests):
            add_manifest(db, 2, manifest(Digest.of(CONFIG), 2, annotations={"n": str(number), "x": "y" * 2_000}))
    db.close()


def entry(data: bytes) -> dict[str, object]:
    """The descriptor of a layer."""
    return {"mediaType": OCI_LAYER, "digest": str(Digest.of(data)), "size": len(data)}


def add_manifest(db: sqlite3.Connection, repository: int, raw: bytes, tag: str = "") -> None:
    """Rows as a push leaves them."""
    digest = str(Digest.of(raw))
    content = db.execute("INSERT INTO contents (digest, raw) VALUES (?, ?)", (digest, raw)).lastrowid
    number = db.execute(
        "INSERT INTO manifests (repository, digest, content, media_type, size, artifact_type, annotations, pushed)"
        " VALUES (?, ?, ?, ?, ?, '', '', 0)",
        (repository, digest, content, OCI_MANIFEST, len(raw)),
    ).lastrowid
    found = json.loads(raw)
    members = [one["digest"] for one in (found["config"], *found["layers"])]
    db.executemany("INSERT INTO members VALUES (?, ?)", [(number, member) for member in members])
    if tag:
        db.execute("INSERT INTO tags VALUES (?, ?, ?, 0)", (repository, tag, number))


def seed_garbage(storage: str, octets: float) -> int:
    """Blobs whose lease is over, written through to the disk and out of memory; how many bytes."""
    part, number, total = os.urandom(MIB), 0, 0
    rows = []
    for size, share in SIZES:
        for _ in range(max(1, round(octets * share / size))):
            number += 1
            digest = Digest.parse(name(number))
            path = f"{storage}/blobs/sha256/{digest.encoded[:2]}/{digest.encoded}"
            with open(path, "wb", buffering=0) as file:
                for _ in range(size // MIB):
                    file.write(part)
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            rows.append((str(digest), size))
            total += size
    for shard in range(256):
        sync_folder(f"{storage}/blobs/sha256/{shard:02x}")
    with sqlite3.connect(f"{storage}/registry.db") as db:
        for digest_text, size in rows:
            blob = db.execute("INSERT INTO blobs (digest, size) VALUES (?, ?)", (digest_text, size)).lastrowid
            db.execute("INSERT INTO links VALUES (2, ?, 0)", (blob,))
    db.close()
    return total


class Clients:
    """Clients in processes of their own, so that they measure the server and not each other."""

    def __init__(self, options: argparse.Namespace, host: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._ready = context.Barrier(PROCESSES + 1)
        self._found: multiprocessing.Queue[list[Sample]] = context.Queue()
        shares = [len(range(one, options.clients, PROCESSES)) for one in range(PROCESSES)]
        words = (host, options.rate, options.blob << 10, self._stop, self._ready, self._found)
        self._processes = [context.Process(target=work, args=(share, *words)) for share in shares]
        for process in self._processes:
            process.start()
        self._ready.wait(60)

    def stop(self) -> list[Sample]:
        """End them; what they saw."""
        self._stop.set()
        samples = [sample for _ in self._processes for sample in self._found.get(timeout=120)]
        for process in self._processes:
            process.join()
        return samples


def work(share: int, host: str, rate: float, size: int, stop: threading.Event, ready: threading.Barrier, found) -> None:  # type: ignore[no-untyped-def]  # a queue has no type that two processes agree on
    """One process: so many clients, each a thread."""
    samples: list[Sample] = []
    ready.wait(60)
    threads = [threading.Thread(target=Client(host, rate, size, samples).run, args=(stop,)) for _ in range(share)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put(samples)


class Client:
    """Pushes an image, pulls one, pushes, …"""

    def __init__(self, host: str, rate: float, size: int, samples: list[Sample]) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=120)
        self._pause = 1 / rate if rate else 0.0
        self._size = size
        self._samples = samples
        self._next = time.monotonic() + random.uniform(0, self._pause)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        repository = f"work/c{random.randrange(8)}"
        while not stop.is_set():
            tag = f"t{random.randrange(1 << 40):x}"
            layer = os.urandom(self._size)
            for data in (layer, CONFIG):
                self.ask("HEAD of a blob", "HEAD", f"/v2/{repository}/blobs/{Digest.of(data)}", fine=(200, 404))
                place = self.ask("POST of an upload", "POST", f"/v2/{repository}/blobs/uploads/", fine=(202,))
                self.ask("PUT of a blob", "PUT", f"{place}?digest={Digest.of(data)}", data, fine=(201,))
            raw = manifest(Digest.of(CONFIG), 2, layers=[entry(layer)])
            where = f"/v2/{repository}/manifests/{tag}"
            self.ask("PUT of a manifest", "PUT", where, raw, {"Content-Type": OCI_MANIFEST}, fine=(201,))
            for _ in range(3):
                self.ask("GET of a manifest", "GET", where)
                self.ask("GET of a blob", "GET", f"/v2/{repository}/blobs/{Digest.of(layer)}")
            self.ask("DELETE of a manifest", "DELETE", f"/v2/{repository}/manifests/{Digest.of(raw)}", fine=(202,))
        self._connection.close()

    def ask(
        self,
        kind: str,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        fine: tuple[int, ...] = (200,),
    ) -> str:
        """One request, timed to the last byte; the Location it was answered with."""
        self._next = max(self._next + self._pause, time.monotonic() - self._pause)
        time.sleep(max(0.0, self._next - time.monotonic()))
        begun = time.monotonic()
        place, status = "", 0
        try:
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
            answer.read()
            place, status = re.sub(r"^http://[^/]*", "", answer.headers.get("Location", "")), answer.status
        except (OSError, http.client.HTTPException) as err:
            self._connection.close()
            print(f"{method} {path}: {err!r}", file=sys.stderr)
        if status not in fine:
            print(f"{method} {path}: {status}", file=sys.stderr)
        self._samples.append((begun, time.monotonic() - begun, kind, status not in fine))
        return place


if __name__ == "__main__":
    main()
