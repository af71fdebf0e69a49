"""Compare `holdall registry serve` with Debian's docker-registry in one run: `python benchmarks/registry.py`.

Both serve from files on the same disk; the rounds alternate. Needs Debian's docker-registry, wrk and apache2-utils.
Note when reading: holdall syncs each blob and row to the disk before it answers, docker-registry never does.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from holdall.oci.mediatype import DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST
from holdall.testing.docker_registry import DockerRegistry, available
from holdall.testing.holdall_registry import HoldallRegistry

MIB = 1 << 20
REPOSITORY = "bench/app"
WORK = (
    ("blob GET, 4 clients", "MB/s"),
    ("blob GET, 64 clients", "MB/s"),
    ("blob PUT, 1 client", "MB/s"),
    ("blob PUT, 4 clients", "MB/s"),
    ("manifest GET, 64 clients", "requests/s"),
    ("manifest GET, 64 clients, p99", "ms"),
    ("manifest HEAD, 64 clients", "requests/s"),
    ("peak RSS of one process", "MB"),
)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=3, metavar="ROUNDS")
    parser.add_argument("-s", type=float, default=4.0, metavar="SECONDS", help="length of each measurement")
    parser.add_argument("--blob", type=int, default=64, metavar="MIB")
    parser.add_argument("--workers", default=str(max(1, min(len(os.sched_getaffinity(0)), 4))))
    options = parser.parse_args()
    if not (available() and shutil.which("wrk") and shutil.which("ab")):
        sys.exit("needs Debian's docker-registry, wrk and apache2-utils")
    folder = tempfile.mkdtemp(prefix="hregistry-")
    found: dict[str, dict[str, list[float]]] = {}
    try:
        os.makedirs(folder + "/docker")
        ours = HoldallRegistry(folder, "--workers", options.workers)
        theirs = DockerRegistry(folder + "/docker")
        with ours, theirs:
            for _ in range(options.n):
                for name, server in (("holdall", ours), ("docker-registry", theirs)):
                    measured = Run(server.host, server.pid, options.blob * MIB, options.s, folder).measure()
                    for what, value in measured.items():
                        found.setdefault(what, {}).setdefault(name, []).append(value)
    finally:
        shutil.rmtree(folder)
    print("\n".join(table(found)))


def table(found: dict[str, dict[str, list[float]]]) -> list[str]:
    """Markdown: medians, and how many times docker-registry's figure ours is."""
    lines = ["| work | holdall | docker-registry | ratio |", "|---|---|---|---|"]
    for what, unit in WORK:
        ours, theirs = (statistics.median(found[what][name]) for name in ("holdall", "docker-registry"))
        lines.append(f"| {what} | {ours:,.0f} {unit} | {theirs:,.0f} {unit} | {ours / theirs:.2f} |")
    return lines


class Run:
    """One round on one server."""

    def __init__(self, host: str, pid: int, size: int, seconds: float, folder: str) -> None:
        self.host = host
        self.pid = pid
        self.size = size
        self.seconds = seconds
        self.folder = folder

    def measure(self) -> dict[str, float]:
        """All figures of this round."""
        blob = self.seed()
        os.sync()  # what the other server left unwritten must not be written during this one's turn
        blob_url = f"http://{self.host}/v2/{REPOSITORY}/blobs/{blob}"
        manifest_url = f"http://{self.host}/v2/{REPOSITORY}/manifests/1"
        found: dict[str, float] = {}
        for clients in (4, 64):
            found[f"blob GET, {clients} clients"] = transfer(self.wrk(clients, blob_url))
        for clients in (1, 4):
            found[f"blob PUT, {clients} client{'s' if clients > 1 else ''}"] = self.upload(clients)
        text = self.wrk(64, manifest_url)
        found["manifest GET, 64 clients"] = number(r"Requests/sec:\s+([\d.]+)", text)
        found["manifest GET, 64 clients, p99"] = milliseconds(text)
        found["manifest HEAD, 64 clients"] = self.heads(manifest_url)
        found["peak RSS of one process"] = max(peak(pid) for pid in family(self.pid)) / 1e6
        return found

    def seed(self) -> str:
        """Push one image with one layer; the layer's digest."""
        layer, config = os.urandom(MIB) * (self.size // MIB), b'{"architecture":"amd64","os":"linux"}'
        connection = http.client.HTTPConnection(self.host, timeout=60)
        digests = []
        for data in (layer, config):
            digests.append(f"sha256:{hashlib.sha256(data).hexdigest()}")
            put(connection, digests[-1], data)
        manifest = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "digest": digests[1], "size": len(config)},
            "layers": [{"mediaType": DOCKER_LAYER_GZIP, "digest": digests[0], "size": len(layer)}],
        }
        connection.request(
            "PUT", f"/v2/{REPOSITORY}/manifests/1", json.dumps(manifest), {"Content-Type": DOCKER_MANIFEST}
        )
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (201, b""), answer.status
        connection.close()
        return digests[0]

    def wrk(self, clients: int, url: str) -> str:
        """Load the server and return what wrk says."""
        words = ["wrk", "-t1", f"-c{clients}", f"-d{self.seconds:g}s", "--timeout", "30s", "--latency"]
        done = subprocess.run(
            [*words, "-H", f"Accept: {DOCKER_MANIFEST}", url], capture_output=True, text=True, check=True
        )
        if "Non-2xx" in done.stdout:
            raise RuntimeError(done.stdout)
        return done.stdout

    def heads(self, url: str) -> float:
        """HEAD requests per second (wrk waits for bodies that never come, so ab)."""
        words = ["ab", "-q", "-i", "-k", "-c", "64", "-t", f"{self.seconds:g}", "-n", "1000000"]
        done = subprocess.run(
            [*words, "-H", f"Accept: {DOCKER_MANIFEST}", url], capture_output=True, text=True, check=True
        )
        if number(r"Non-2xx responses:\s+(\d+)", done.stdout, 0.0):
            raise RuntimeError(done.stdout)
        return number(r"Requests per second:\s+([\d.]+)", done.stdout)

    def upload(self, clients: int) -> float:
        """Push blobs nobody has, each client from a file by sendfile, for some seconds: MB/s acknowledged."""
        path = f"{self.folder}/upload"
        with open(path, "wb") as file:
            file.write(os.urandom(MIB) * (self.size // MIB))
        base = hashlib.sha256()
        with open(path, "rb") as file:
            base.update(file.read())
        sent: list[int] = []
        begun = time.monotonic()
        threads = [threading.Thread(target=self._client, args=(path, base, begun, sent)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(sent) / (time.monotonic() - begun) / 1e6

    def _client(self, path: str, base: hashlib._Hash, begun: float, sent: list[int]) -> None:
        address = self.host.rpartition(":")
        with socket.create_connection((address[0], int(address[2])), timeout=30) as client, open(path, "rb") as file:
            while time.monotonic() - begun < self.seconds:
                tail = os.urandom(16)
                whole = base.copy()
                whole.update(tail)
                head, _ = exchange(client, f"POST /v2/{REPOSITORY}/blobs/uploads/ HTTP/1.1\r\nContent-Length: 0\r\n")
                place = re.search(r"(?im)^location: (?:http://[^/]*)?(\S+)", head)
                assert place is not None, head
                target = f"{place[1]}{'&' if '?' in place[1] else '?'}digest=sha256:{whole.hexdigest()}"
                request = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {self.size + 16}\r\n"
                client.sendall((request + "Content-Type: application/octet-stream\r\n\r\n").encode())
                client.sendfile(file, 0, self.size)
                head, status = exchange(client, "", tail)
                assert status == 201, head
                sent.append(self.size + 16)


def exchange(client: socket.socket, request: str, body: bytes = b"") -> tuple[str, int]:
    """Send and read the head of an answer without a body."""
    client.sendall((f"{request}Host: x\r\n\r\n".encode() if request else b"") + body)
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        assert data, head
        head += data
    text = head.decode("latin-1")
    return text, int(text.split()[1])


def put(connection: http.client.HTTPConnection, digest: str, data: bytes) -> None:
    """Push a blob by POST and PUT."""
    connection.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    answer = connection.getresponse()
    answer.read()
    place = re.sub(r"^http://[^/]*", "", answer.headers["Location"])
    joint = "&" if "?" in place else "?"
    connection.request(
        "PUT", f"{place}{joint}digest={digest}", data, {"Content-Type": "application/octet-stream"}
    )  # fmt: skip
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (201, b""), answer.status


def number(pattern: str, text: str, default: float | None = None) -> float:
    """The figure in a tool's output."""
    match = re.search(pattern, text)
    if match is None:
        if default is None:
            raise RuntimeError(text)
        return default
    return float(match[1])


def transfer(text: str) -> float:
    """wrk's transfer rate in MB/s."""
    match = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?)B", text)
    if match is None:
        raise RuntimeError(text)
    return float(match[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[match[2]] / 1e6


def milliseconds(text: str) -> float:
    """wrk's 99th percentile."""
    match = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if match is None:
        raise RuntimeError(text)
    return float(match[1]) * {"us": 0.001, "ms": 1, "s": 1000}[match[2]]


def family(pid: int) -> list[int]:
    """A process and its children."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [pid, *map(int, file.read().split())]


def peak(pid: int) -> int:
    """Largest resident size so far, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        return int(number(r"VmHWM:\s+(\d+)", file.read())) << 10


if __name__ == "__main__":
    main()
