"""Many commands at once in one store, and two stores on one host."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from holdall.testing.command import CommandStore, busybox_available, busybox_tar, finish
from holdall.testing.supervised import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static"),
]


def make(folder: str) -> CommandStore:
    os.mkdir(folder)
    store = CommandStore(folder)
    store.run("import", busybox_tar(folder + "/bb.tar"), "bb")
    return store


@pytest.fixture
def stores() -> Iterator[tuple[CommandStore, CommandStore]]:
    top = tempfile.mkdtemp(prefix="holdall-side-")
    made: list[CommandStore] = []
    try:
        made += [make(top + "/one"), make(top + "/two")]
        yield made[0], made[1]
    finally:
        try:
            for store in made:
                store.close()
        finally:
            shutil.rmtree(top)


def together(store: CommandStore, orders: list[tuple[str, ...]]) -> list[subprocess.CompletedProcess[str]]:
    """Run commands all at once; every one must succeed."""
    done = [finish(process, 120) for process in [store.begin(*words) for words in orders]]
    assert [(one.returncode, one.stderr) for one in done if one.returncode] == []
    return done


def test_fifty_runs_at_once_are_all_kept_and_none_is_doubled(stores: tuple[CommandStore, CommandStore]) -> None:
    store = stores[0]
    done = together(store, [("run", "-d", "--label", f"n={n}", "bb", "sleep", "1000") for n in range(50)])
    ids = [one.stdout.strip() for one in done]
    assert len(set(ids)) == 50
    found = json.loads(store.run("inspect", *store.run("ps", "-q", "--no-trunc").split()))
    assert {one["Id"]: one["Config"]["Labels"]["n"] for one in found} == {key: str(n) for n, key in enumerate(ids)}
    assert len({one["NetworkSettings"]["IPAddress"] for one in found}) == 50
    assert len(store.processes("supervisor")) == 1
    assert len(store.processes("keeper")) == 1
    together(store, [("rm", "-f", *ids[start::10]) for start in range(10)])
    assert store.run("ps", "-aq") == ""
    eventually(lambda: store.debris() == [])
    assert set(store.links()) <= {f"hd-{store.paths.key}"}


def test_thirty_commands_without_a_supervisor_bring_up_one(stores: tuple[CommandStore, CommandStore]) -> None:
    store = stores[0]
    assert store.processes("supervisor") == []
    done = together(store, [("run", "--rm", "bb", "sh", "-c", f"echo {n}; exit 0") for n in range(30)])
    assert [one.stdout for one in done] == [f"{n}\n" for n in range(30)]
    assert len(store.processes("supervisor")) == 1
    assert store.run("ps", "-aq") == ""


def test_two_stores_with_the_same_names_do_not_meet(stores: tuple[CommandStore, CommandStore]) -> None:
    ports, addresses = [], []
    for store, word in zip(stores, ("one", "two"), strict=True):
        serve = f"echo {word} > /www/index.html; exec httpd -f -p 80 -h /www"
        store.run("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "bb", "sh", "-c", serve)
        found = json.loads(store.run("inspect", "web"))[0]["NetworkSettings"]
        ports.append(found["Ports"]["80/tcp"][0]["HostPort"])
        addresses.append(found["IPAddress"])
    for word, port in zip(("one", "two"), ports, strict=True):
        eventually(lambda port=port, word=word: get(int(port)).endswith(word))  # type: ignore[misc]
    for store, own, other in zip(stores, addresses, reversed(addresses), strict=True):
        # nc, for the static busybox's wget needs the C library's resolver
        ask = r"printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 {} 80"
        assert "200 OK" in store.run("exec", "web", "sh", "-c", ask.format(own))
        crossed = store.attempt("exec", "web", "sh", "-c", ask.format(other))
        assert crossed.stdout == "", f"{own} reaches {other} of the other store"
    taken = stores[1].attempt("run", "-d", "--name", "late", "-p", f"127.0.0.1:{ports[0]}:80", "bb", "sleep", "9")
    assert taken.returncode == 125
    assert ports[0] in taken.stderr
    stores[0].run("rm", "-f", "web")
    assert stores[1].run("ps", "--format", "{{.Names}}") == "web"
    assert get(int(ports[1])).endswith("two")


def get(port: int) -> str:
    """The body of http://127.0.0.1:PORT/, stripped, "" when nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), 3) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with sock.makefile("rb") as file:
                return file.read().decode().strip()
    except OSError:
        return ""
