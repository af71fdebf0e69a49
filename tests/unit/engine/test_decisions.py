"""Small pure decisions: what runs, limits, names, signals, security, changes, where cp puts things."""

from __future__ import annotations

import pytest

from holdall.engine import limits
from holdall.engine.changes import apply_changes
from holdall.engine.copy import destination
from holdall.engine.filters import has_labels, parse_filters
from holdall.engine.names import check_name, random_name
from holdall.engine.options import CreateOptions, Resources
from holdall.engine.resolve import merge_env, resolve
from holdall.engine.security import SecurityOptions
from holdall.engine.signals import parse_signal
from holdall.errors import Conflict, InvalidOption, PathNotFound, Unsupported
from holdall.layer.export import PathStat
from holdall.oci.container_config import ContainerConfig

IMAGE = ContainerConfig(
    entrypoint=("/e", "-x"), cmd=("c",), env=("PATH=/p", "A=1"), working_dir="/w", user="u", stop_signal="SIGINT"
)
FOLDER = PathStat("d", 0, 0o40755, 0, "")
FILE = PathStat("f", 1, 0o100644, 0, "")


@pytest.mark.parametrize(
    ("options", "args"),
    [
        (CreateOptions("i"), ("/e", "-x", "c")),
        (CreateOptions("i", ("d", "e")), ("/e", "-x", "d", "e")),
        (CreateOptions("i", entrypoint=("/o",)), ("/o",)),
        (CreateOptions("i", ("a",), entrypoint=("/o",)), ("/o", "a")),
        (CreateOptions("i", ("a",), entrypoint=("",)), ("a",)),
    ],
)
def test_entrypoint_and_command(options: CreateOptions, args: tuple[str, ...]) -> None:
    assert resolve(options, IMAGE, "h").args == args


def test_the_rest_of_the_config() -> None:
    found = resolve(CreateOptions("i", env=("A=2", "B=3"), tty=True), IMAGE, "box")
    assert found.env == ("PATH=/p", "HOSTNAME=box", "TERM=xterm", "A=2", "B=3")
    assert (found.working_dir, found.user, found.stop_signal) == ("/w", "u", "SIGINT")
    assert resolve(CreateOptions("i", user="0", working_dir="/x"), IMAGE, "h").user == "0"
    with pytest.raises(InvalidOption, match="no command"):
        resolve(CreateOptions("i"), ContainerConfig(), "h")


def test_later_variables_win_in_place() -> None:
    assert merge_env(("A=1", "B=1"), ("A=2", "C=3")) == ("A=2", "B=1", "C=3")


def test_limits() -> None:
    assert limits.oci_resources(Resources(memory=64 << 20, nano_cpus=1_500_000_000, pids_limit=5)) == {
        "memory": {"limit": 64 << 20, "swap": 128 << 20},
        "cpu": {"quota": 150_000, "period": 100_000},
        "pids": {"limit": 5},
    }
    for wrong in (
        Resources(memory=1 << 20),
        Resources(memory_swap=64 << 20),
        Resources(memory=64 << 20, memory_swap=32 << 20),
        Resources(memory=64 << 20, memory_reservation=65 << 20),
        Resources(nano_cpus=1, cpu_quota=1),
    ):
        with pytest.raises(InvalidOption):
            limits.check(wrong)


def test_names() -> None:
    assert check_name("/web") == "web"
    for wrong in ("", "-a", "a b", "a/b", "x" * 300):
        with pytest.raises(InvalidOption):
            check_name(wrong)
    assert len({random_name() for _ in range(200)}) > 150


@pytest.mark.parametrize(
    ("text", "number"), [("TERM", 15), ("sigkill", 9), ("1", 1), ("SIGRTMIN+3", 37), ("RTMAX", 64)]
)
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "SIGNO", "TERM+1", "SIG"])
def test_wrong_signals(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_signal(text)


def test_security_options() -> None:
    found = SecurityOptions.parse(["no-new-privileges", "seccomp=/p.json", "systempaths=unconfined", "label=disable"])
    assert found == SecurityOptions(no_new_privileges=True, seccomp="/p.json", unmasked=True)
    for wrong in ("apparmor=docker-default", "label=type:x", "nosuch"):
        with pytest.raises(Unsupported):
            SecurityOptions.parse([wrong])


def test_changes() -> None:
    changed = apply_changes(
        ContainerConfig(),
        ['CMD ["a","b"]', "ENTRYPOINT run it", "ENV A=1 B='2 3'", "ENV C 4 5", "EXPOSE 80 53/udp", "LABEL k=v",
         "USER u", "WORKDIR /x", "WORKDIR y", "VOLUME /v", "STOPSIGNAL SIGINT"],
    )  # fmt: skip
    assert changed.cmd == ("a", "b")
    assert changed.entrypoint == ("/bin/sh", "-c", "run it")
    assert changed.env == ("A=1", "B=2 3", "C=4 5")
    assert changed.exposed_ports == ("53/udp", "80/tcp")
    assert (changed.working_dir, changed.user, changed.volumes, changed.stop_signal) == ("/x/y", "u", ("/v",), "SIGINT")
    with pytest.raises(Unsupported):
        apply_changes(ContainerConfig(), ["RUN x"])
    with pytest.raises(InvalidOption):
        apply_changes(ContainerConfig(), ["CMD"])


def test_filters() -> None:
    assert parse_filters(["a=1", "a=2", "label!=x=y"]) == {"a": ("1", "2"), "label!": ("x=y",)}
    assert has_labels({"a": "1"}, ["a", "a=1"])
    assert not has_labels({"a": "1"}, ["a=2"])
    with pytest.raises(InvalidOption):
        parse_filters(["novalue"])


@pytest.mark.parametrize(
    ("source", "is_folder", "target", "found", "answer"),
    [
        ("/s/f", False, "/t/new", None, ("/t", "new")),
        ("/s/f", False, "/t", FOLDER, ("/t", "f")),
        ("/s/f", False, "/t/f2", FILE, ("/t", "f2")),
        ("/s/d", True, "/t/new", None, ("/t", "new")),
        ("/s/d", True, "/t", FOLDER, ("/t", "d")),
        ("/s/d/.", True, "/t", FOLDER, ("/t", "")),
        ("/", True, "/t", FOLDER, ("/t", "")),
    ],
)
def test_where_cp_puts_things(source, is_folder, target, found, answer) -> None:  # type: ignore[no-untyped-def]
    assert destination(source, is_folder, target, found) == answer


def test_what_cp_refuses() -> None:
    with pytest.raises(PathNotFound):
        destination("/s/f", False, "/t/new/", None)
    with pytest.raises(Conflict):
        destination("/s/d", True, "/t/f", FILE)
