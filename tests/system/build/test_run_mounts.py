"""RUN --mount in all its kinds: what is shown, what may be written, what stays."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available
from holdall.testing.supervised import eventually

if TYPE_CHECKING:
    import subprocess

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]


def until_up(build: subprocess.Popen[bytes]) -> None:
    """Wait until a build's command has printed "up"."""
    assert build.stderr is not None
    seen = b""
    while b"| up" not in seen:
        piece = os.read(build.stderr.fileno(), 4096)
        assert piece, seen
        seen += piece


FROM_STAGE = """
FROM bb AS made
RUN busybox mkdir -p /deep/er && echo one > /deep/er/file && busybox ln -s er /deep/link && echo top > /top
FROM bb
RUN --mount=type=bind,from=made,source=/deep,target=/in \
    --mount=from=made,source=/deep/link/file,target=/one \
    --mount=from=made,target=/all \
    --mount=from=bb,target=/base \
    cat /in/er/file /one /all/top > /kept; test -x /base/bin/busybox && echo base >> /kept; \
    (echo x > /in/new) 2>/dev/null || echo read-only >> /kept
"""


def test_a_stage_and_an_image_are_mounted_for_a_command(workshop: Workshop) -> None:
    workshop.fresh()
    image = workshop.build(FROM_STAGE)
    assert workshop.shown(image, "cat", "/kept").split() == ["one", "one", "top", "base", "read-only"]
    # places made for the mounts are no part of the layer
    assert not workshop.paths(image) & {"/in", "/one", "/all", "/base"}


def test_a_stage_mounted_to_be_written_keeps_nothing(workshop: Workshop) -> None:
    workshop.fresh({"file": "of the context\n"})
    text = """
    FROM bb AS made
    RUN echo old > /data
    FROM bb
    RUN --mount=from=made,target=/in,rw --mount=target=/ctx,rw \
        echo new > /in/data; echo more > /in/more; echo new >> /ctx/file; echo x > /ctx/other; \
        cat /in/data /ctx/file > /first
    RUN --mount=from=made,target=/in --mount=target=/ctx \
        busybox ls /in/more /ctx/other; cat /in/data /ctx/file > /second
    """
    image = workshop.build(text)
    assert workshop.shown(image, "cat", "/first").split() == ["new", "of", "the", "context", "new"]
    assert workshop.shown(image, "cat", "/second").split() == ["old", "of", "the", "context"]
    with open(workshop.context + "/file") as file:
        assert file.read() == "of the context\n"
    assert os.listdir(workshop.context) == ["file"]


def test_the_context_is_shown_as_it_would_be_copied(workshop: Workshop) -> None:
    workshop.fresh({"app/main": "x\n", "app/secret": "no\n", ".dockerignore": "**/secret\n", "[odd]*": "odd\n"})
    os.chown(workshop.context + "/app/main", 1234, 1234)
    os.chmod(workshop.context + "/app/main", 0o640)
    os.utime(workshop.context + "/app/main", (1_000_000_000, 1_000_000_000))
    os.symlink("main", workshop.context + "/app/link")
    os.symlink("/etc/passwd", workshop.context + "/app/out")
    os.mkfifo(workshop.context + "/app/fifo")
    text = """
    FROM bb
    RUN --mount=source=app,target=/in --mount=source=[odd]*,target=/odd \
        busybox stat -c '%n %u:%g %a %Y %F' /in/* > /kept; cat /odd /in/link >> /kept; cat /in/out >> /kept || true
    """
    shown = workshop.shown(workshop.build(text), "cat", "/kept")
    assert "/in/main 0:0 640 1000000000 regular file" in shown
    assert "/in/fifo 0:0" in shown
    assert "secret" not in shown
    assert shown.endswith("odd\nx")


def test_a_bind_mount_is_in_the_key_by_what_it_shows(workshop: Workshop) -> None:
    workshop.fresh({"a/file": "1\n", "b/file": "1\n"})
    text = (
        "FROM bb AS made\nARG SIDE\nRUN echo $SIDE > /side; echo same > /wanted\n"
        "FROM bb\nRUN --mount=source=a,target=/in --mount=from=made,source=/wanted,target=/w cat /in/file /w > /kept\n"
    )
    first = workshop.build(text, "--build-arg", "SIDE=1")
    os.utime(workshop.context + "/a/file")
    with open(workshop.context + "/b/file", "w") as file:
        file.write("2\n")
    done = workshop.attempt(text, "--build-arg", "SIDE=2")
    assert done.stdout.strip() == first
    assert "CACHED [stage-1 1/1]" in done.stderr
    with open(workshop.context + "/a/file", "w") as file:
        file.write("2\n")
    assert "CACHED [stage-1 1/1]" not in workshop.attempt(text, "--build-arg", "SIDE=2").stderr


def test_what_a_bind_mount_is_to_show_is_not_there(workshop: Workshop) -> None:
    workshop.fresh({"file": "x"})
    for mount, word in (
        ("source=none,target=/in", '"none" is not there'),
        ("from=made,source=/none,target=/in", '"/none" is not there in "made"'),
        ("target=/", 'a mount cannot be at "/"'),
        ("type=cache,from=made,source=/bin/busybox,target=/c", "no folder"),
    ):
        said = workshop.fails(f"FROM bb AS made\nFROM bb\nRUN --mount={mount} true\n")
        assert word in said
        assert ">>> RUN --mount=" in said


def test_a_cache_begins_with_what_it_is_given_and_goes_on(workshop: Workshop) -> None:
    workshop.fresh()
    text = """
    FROM bb AS made
    RUN busybox mkdir -p /start/sub && echo begin > /start/sub/n
    FROM bb
    RUN --mount=type=cache,id=from-made,from=made,source=/start,target=/c echo {0} >> /c/sub/n; cat /c/sub/n > /kept
    """
    first = workshop.build(text.format("one"))
    assert workshop.shown(first, "cat", "/kept").split() == ["begin", "one"]
    second = workshop.build(text.format("two"))
    assert workshop.shown(second, "cat", "/kept").split() == ["begin", "one", "two"]
    # another beginning is another cache
    third = workshop.build(text.replace("echo begin", "echo other").format("three"))
    assert workshop.shown(third, "cat", "/kept").split() == ["other", "three"]


def test_owner_and_mode_of_a_new_cache(workshop: Workshop) -> None:
    workshop.fresh()
    text = (
        "FROM bb\nUSER 12:34\nRUN --mount=type=cache,id=owned,uid=12,gid=34,mode=0750,target=/c/d \\\n"
        "  busybox stat -c %u:%g:%a /c/d && echo x > /c/d/x && busybox stat -c %u /c/d/x\n"
    )
    done = workshop.attempt(text, "--no-cache")
    assert done.returncode == 0, done.stderr
    assert "| 12:34:750\n" in done.stderr
    assert "/c" not in workshop.paths(done.stdout.strip())


MEET = """
FROM bb
RUN --mount=type=cache,id={id},sharing={sharing},target=/c \
    echo {name} > /c/{name}; n=0; while [ ! -e /c/{other} ] && [ $n -lt {ticks} ]; do n=$((n+1)); sleep 0.05; done; \
    [ -e /c/{other} ] && echo met; {end}
"""


def meet(workshop: Workshop, sharing: str, ticks: int) -> list[bool]:
    """Two builds at once with one cache: whether each saw the other's file."""
    workshop.fresh()
    found = []
    builds = []
    for name, other in (("a", "b"), ("b", "a")):
        end = "true" if sharing == "shared" else f"busybox rm -f /c/{name}"
        text = MEET.format(id=f"meet-{sharing}", sharing=sharing, name=name, other=other, ticks=ticks, end=end)
        builds.append(workshop.begin(text, "--no-cache"))
    for build in builds:
        _, err = build.communicate(timeout=60)
        assert build.returncode == 0, err
        found.append(b"| met" in err)
    return found


def test_shared_caches_are_used_at_once(workshop: Workshop) -> None:
    assert meet(workshop, "shared", 400) == [True, True]


@pytest.mark.parametrize("sharing", ["locked", "private"])
def test_locked_and_private_caches_are_not(workshop: Workshop, sharing: str) -> None:
    assert meet(workshop, sharing, 8) == [False, False]


def test_private_folders_are_used_again(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN --mount=type=cache,id=mine,sharing=private,target=/c echo x >> /c/n; cat /c/n > /kept # {}\n"
    assert workshop.shown(workshop.build(text.format(1)), "cat", "/kept").split() == ["x"]
    assert workshop.shown(workshop.build(text.format(2)), "cat", "/kept").split() == ["x", "x"]


def test_locked_caches_of_one_build_do_not_wait_for_each_other_for_ever(workshop: Workshop) -> None:
    workshop.fresh()
    mounts = [f"--mount=type=cache,sharing=locked,id=l{n},target=/l{n}" for n in (1, 2)]
    stages = "".join(
        f"FROM bb AS s{n}\nRUN {' '.join(order)} echo {n} >> /l1/x && echo {n} > /done\n"
        for n, order in enumerate((mounts, mounts[::-1], mounts, mounts[::-1]))
    )
    copies = "".join(f"COPY --from=s{n} /done /done{n}\n" for n in range(4))
    image = workshop.build(f"{stages}FROM bb\n{copies}", "--no-cache", "--jobs", "4")
    assert workshop.shown(image, "cat", "/done3") == "3"


def test_a_tmpfs_has_its_size_and_programs_may_be_run_from_it(workshop: Workshop) -> None:
    workshop.fresh()
    text = (
        "FROM bb\nRUN --mount=type=tmpfs,target=/t,size=1m busybox cp /bin/busybox /t/b 2>/dev/null && exit 1;"
        " echo too-large > /kept\n"
        "RUN --mount=type=tmpfs,target=/t busybox cp /bin/busybox /t/echo && /t/echo ran >> /kept\n"
    )
    assert workshop.shown(workshop.build(text), "cat", "/kept").split() == ["too-large", "ran"]


def test_names_of_the_machine_and_places_of_mounts_are_in_no_layer(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN --mount=type=cache,id=d,target=/root/.cache/x busybox hostname > /h; echo a > /root/.cache/y\n"
    first = workshop.build(text)
    assert workshop.build(text, "--no-cache") == first
    assert {"/root", "/root/.cache", "/root/.cache/y"} <= workshop.paths(first)
    assert "/root/.cache/x" not in workshop.paths(first)


def test_a_killed_build_gives_its_locked_cache_back_intact(workshop: Workshop) -> None:
    workshop.fresh()
    text = (
        "FROM bb\nRUN --mount=type=cache,id=killed,sharing=locked,target=/c"
        " echo {0} >> /c/n; busybox sync; cat /c/n; {1}\n"
    )
    workshop.build(text.format("first", "true"))
    build = workshop.begin(text.format("second", "echo up; sleep 1000"))
    until_up(build)
    build.kill()
    build.communicate()
    done = workshop.attempt(text.format("third", "true"))
    assert done.returncode == 0, done.stderr
    assert "| first\n" in done.stderr
    assert done.stderr.index("| second\n") < done.stderr.index("| third\n")
    workshop.rests()


def test_a_killed_build_leaves_nothing(workshop: Workshop) -> None:
    workshop.fresh({"file": "x"})
    text = """
    FROM bb AS made
    FROM bb
    RUN --mount=from=made,target=/in,rw --mount=target=/ctx --mount=type=tmpfs,target=/t --mount=type=cache,target=/c \
        echo up; sleep 1000
    """
    build = workshop.begin(text)
    until_up(build)
    build.kill()
    build.communicate()
    workshop.rests()
    eventually(lambda: os.listdir(workshop.store.paths.containers) == [])
    assert workshop.store.debris() == []


def test_an_interrupted_build_ends_soon(workshop: Workshop) -> None:
    workshop.fresh()
    build = workshop.begin("FROM bb\nRUN echo up; sleep 1000\n")
    until_up(build)
    begun = time.monotonic()
    build.send_signal(signal.SIGINT)
    build.communicate(timeout=30)
    assert build.returncode == 130
    # the goal is a second; the machine may be busy
    assert time.monotonic() - begun < 5
    workshop.rests()


def test_a_killed_supervisor_is_survived(workshop: Workshop) -> None:
    workshop.fresh()
    text = (
        "FROM bb\nRUN --mount=type=cache,id=sup,target=/c echo up; while [ ! -e /c/go ]; do sleep 0.05; done; echo on\n"
    )
    release = "FROM bb\nRUN --mount=type=cache,id=sup,target=/c echo > /c/go\n"
    build = workshop.begin(text, "--no-cache")
    until_up(build)
    for pid in workshop.store.processes("supervisor"):
        os.kill(pid, 9)
    rest: list[bytes] = []
    thread = threading.Thread(target=lambda: rest.append(build.communicate()[1]))
    thread.start()
    workshop.build(release, "--no-cache")
    thread.join(60)
    assert build.returncode == 0, rest
    assert b"| on" in rest[0]
    workshop.rests()


def test_client_and_supervisor_killed_together(workshop: Workshop) -> None:
    workshop.fresh()
    build = workshop.begin("FROM bb\nRUN echo up; sleep 1000\n")
    until_up(build)
    build.kill()
    for pid in workshop.store.processes("supervisor"):
        os.kill(pid, 9)
    build.communicate()
    workshop.rests()
    assert workshop.store.debris() == []


def test_mounts_in_mounts_whatever_order_they_are_written_in(workshop: Workshop) -> None:
    workshop.fresh({"src/deps/old": "x", "src/main": "main\n"})
    text = (
        "FROM bb\nRUN --mount=type=tmpfs,target=/in/deps --mount=source=src,target=/in"
        " cat /in/main > /n; echo * > /dev/null; busybox ls /in/deps >> /n; echo x > /in/deps/new && echo new >> /n\n"
    )
    assert workshop.shown(workshop.build(text), "cat", "/n").split() == ["main", "new"]


def test_the_environment_has_nothing_that_is_not_said(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nARG UNSET\nARG A=1\nENV B=2\nRUN busybox env > /env; busybox hostname > /h\n"
    image = workshop.build(text)
    assert sorted(workshop.shown(image, "cat", "/env").split("\n")) == [
        "A=1", "B=2", "HOME=/", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PWD=/", "SHLVL=1",
    ]  # fmt: skip
    assert workshop.shown(image, "cat", "/h") == "buildkitsandbox"
    image = workshop.build(text, "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=mine")
    assert workshop.shown(image, "cat", "/h") == "mine"
