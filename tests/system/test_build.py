"""`holdall build` from end to end: real commands, layers, cache, and the same digest twice."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.testing.command import CommandStore, busybox_available, busybox_tar
from holdall.testing.supervised import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

STAGES = """
ARG BASE=bb
FROM ${BASE} AS made
ARG WHO=world
WORKDIR /work/here
COPY app ./app
RUN echo "$WHO" > who && cat app/link >> who
RUN <<EOF
echo from a heredoc > two
EOF
FROM bb
ENV A=1 B="$A two"
COPY --from=made --chown=12:34 --chmod=640 /work/here/who /work/here/two /opt/
COPY . /all/
USER 12:34
ENTRYPOINT ["/bin/cat"]
CMD ["/opt/who", "/opt/two"]
LABEL said=so
"""
MOUNTS = """
FROM bb
RUN --mount=type=secret,id=s --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t \
    --mount=type=bind,source=app,target=/bound \
    cat /run/secrets/s > /t/x && cat /bound/main.txt > /kept && echo 1 >> /cache/n && cat /cache/n >> /kept
"""


@pytest.fixture(scope="module")
def store() -> Iterator[CommandStore]:
    folder = tempfile.mkdtemp(prefix="holdall-build-")
    store = CommandStore(folder)
    try:
        store.run("import", busybox_tar(folder + "/bb.tar"), "bb")
        yield store
        store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    found = tmp_path / "context"
    (found / "app").mkdir(parents=True)
    (found / "app/main.txt").write_text("hello\n")
    (found / "app/link").symlink_to("main.txt")
    (found / ".env").write_text("key\n")
    (found / ".dockerignore").write_text(".env\n")
    return found


def write(context: Path, text: str) -> str:
    """The context with this Dockerfile."""
    (context / "Dockerfile").write_text(text)
    return str(context)


def built(store: CommandStore, context: str, *options: str) -> str:
    """The ID of the image, all that the build printed on standard output."""
    return store.run("build", "-q", *options, context)


def shown(store: CommandStore, image: str, *command: str) -> str:
    return store.run("run", "--rm", "--network", "none", image, *command)


def test_stages_commands_files_and_settings(store: CommandStore, context: Path) -> None:
    image = built(store, write(context, STAGES), "-t", "made:1", "--build-arg", "WHO=you")
    assert shown(store, image) == "you\nhello\nfrom a heredoc"
    config = json.loads(store.run("image", "inspect", "made:1"))[0]["Config"]
    assert config["Labels"] == {"said": "so"}
    assert [one for one in config["Env"] if one[:2] in ("A=", "B=")] == ["A=1", "B= two"]
    listing = store.run(
        "run", "--rm", "--network", "none", "--entrypoint", "/bin/busybox", image, "ls", "-lan", "/opt", "/all"
    )
    assert ".env" not in listing
    assert "Dockerfile" in listing
    assert "-rw-r-----    1 12       34" in listing


def test_built_twice_the_digest_is_the_same_and_nothing_is_run(store: CommandStore, context: Path) -> None:
    folder = write(context, "FROM bb\nCOPY app /app\nRUN date +%N > /x; echo same > /x\n")
    first = built(store, folder)
    os.utime(context / "app/main.txt", (1, 1))
    told = store.attempt("build", folder)
    assert told.stdout.strip() == first
    assert told.stderr.count("CACHED") == 2
    assert built(store, folder, "--no-cache") == first


def test_a_change_makes_what_depends_on_it_anew(store: CommandStore, context: Path) -> None:
    folder = write(context, "FROM bb\nRUN echo first > /first\nCOPY app /app\nRUN cat /app/main.txt > /copy\n")
    built(store, folder)
    (context / "app/main.txt").write_text("changed\n")
    told = store.attempt("build", folder)
    assert told.stderr.count("CACHED") == 1
    assert shown(store, told.stdout.strip(), "cat", "/copy") == "changed"


def test_files_that_are_deleted_and_folders_that_are_there(store: CommandStore, context: Path) -> None:
    text = (
        "FROM bb\nRUN busybox mkdir /d && busybox chmod 700 /d && echo a > /d/a && echo b > /d/b\n"
        "RUN busybox rm /d/a\nCOPY app/main.txt /d\n"
    )
    image = built(store, write(context, text))
    assert shown(store, image, "sh", "-c", "cd /d; echo *; cat main.txt").split() == ["b", "main.txt", "hello"]
    assert "drwx------" in shown(store, image, "busybox", "ls", "-ld", "/d")


def test_mounts_of_a_command_are_in_no_layer(store: CommandStore, context: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("very-secret-text")
    folder = write(context, MOUNTS)
    image = built(store, folder, "--secret", f"id=s,src={secret}")
    assert shown(store, image, "cat", "/kept").split() == ["hello", "1"]
    again = built(store, folder, "--secret", f"id=s,src={secret}", "--no-cache")
    assert shown(store, again, "cat", "/kept").split() == ["hello", "1", "1"]
    store.run("save", "-o", str(tmp_path / "saved.tar"), image)
    assert b"very-secret-text" not in (tmp_path / "saved.tar").read_bytes()


def test_a_failing_command_shows_its_line_and_leaves_nothing(store: CommandStore, context: Path) -> None:
    done = store.attempt("build", write(context, "FROM bb\nRUN echo before; exit 7\n"))
    assert done.returncode == 1
    assert "before" in done.stderr
    assert "exit code 7" in done.stderr
    assert ">>> RUN echo before; exit 7" in done.stderr
    assert store.run("ps", "-aq") == ""


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("COPY https://example.org/x /x", "https://example.org/x"),
        ("ADD --checksum=sha256:00 app /app", "--checksum"),
        ("RUN --security=insecure true", "--security"),
        ("COPY nowhere /x", "nowhere"),
        ("COPY .env /x", "ignore file"),
    ],
)
def test_what_is_not_supported_or_not_there_is_refused_by_name(
    store: CommandStore, context: Path, line: str, word: str
) -> None:
    done = store.attempt("build", write(context, f"FROM bb\n{line}\n"))
    assert done.returncode == 1
    assert word in done.stderr
    assert f">>> {line}" in done.stderr


def test_a_killed_build_leaves_no_container(store: CommandStore, context: Path) -> None:
    build = store.begin("build", write(context, "FROM bb\nRUN echo up; sleep 2\n"))
    eventually(lambda: store.run("ps", "-q") != "")
    build.kill()
    build.communicate()
    eventually(lambda: store.run("ps", "-aq") == "")


def test_the_cache_can_be_listed_and_emptied(store: CommandStore, context: Path) -> None:
    folder = write(context, f"FROM bb\nRUN echo {time.time_ns()} > /x\n")
    image = built(store, folder)
    assert "RUN echo" in store.run("builder", "du")
    store.run("builder", "prune", "-af")
    assert "RUN echo" not in store.run("builder", "du")
    assert shown(store, image, "true") == ""
    store.run("rmi", "-f", image)
    assert "no damage" in store.run("system", "fsck", "-q")


def test_files_of_two_stages_that_look_alike_are_told_apart(store: CommandStore, context: Path) -> None:
    text = "FROM bb AS made\nRUN echo {} > /file\nFROM bb\nCOPY --from=made /file /copy\n"
    found = [
        shown(store, built(store, write(context, text.format(word))), "cat", "/copy") for word in ("aaa", "bbb", "ccc")
    ]
    assert found == ["aaa", "bbb", "ccc"]


def test_a_path_is_made_longer_also_where_the_base_image_says_none(store: CommandStore, context: Path) -> None:
    assert json.loads(store.run("image", "inspect", "bb"))[0]["Config"].get("Env") in (None, [])
    image = built(store, write(context, "FROM bb\nENV PATH=/opt/bin:$PATH\nRUN busybox true\n"))
    assert shown(store, image, "sh", "-c", "echo $PATH") == (
        "/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    )


def test_a_dockerfile_in_latin_1(store: CommandStore, context: Path) -> None:
    text = "FROM bb\n# Jürgen\nLABEL maintainer=Jürgen\nENV A=ü\nRUN echo Jürgen > /x; echo $A > /y\n"
    text += "COPY <<E /z\nü\nE\n"
    (context / "Dockerfile").write_bytes(text.encode("latin-1"))
    image = built(store, str(context))
    assert built(store, str(context)) == image
    config = json.loads(store.run("image", "inspect", image))[0]["Config"]
    assert config["Labels"] == {"maintainer": "J\ufffdrgen"}
    assert "A=\ufffd" in config["Env"]
    assert shown(store, image, "cat", "/x", "/y").split() == ["J\ufffdrgen", "\ufffd"]
    assert shown(store, image, "busybox", "od", "-An", "-tx1", "/z").split() == ["fc", "0a"]


def test_a_workdir_of_a_user_that_is_not_there_yet(store: CommandStore, context: Path) -> None:
    (context / "passwd").write_text("late:x:5:6::/:/bin/sh\n")
    text = "FROM bb\nUSER late\nWORKDIR /before\nCOPY passwd /etc/passwd\nWORKDIR /after\n"
    image = built(store, write(context, text))
    assert shown(store, image, "busybox", "stat", "-c", "%u:%g", "/before", "/after").split() == ["0:0", "5:6"]


def test_a_command_that_cannot_be_started_shows_its_line(store: CommandStore, context: Path) -> None:
    done = store.attempt("build", write(context, "FROM bb\nUSER nobody-here\nRUN true\n"))
    assert done.returncode == 1
    assert "Dockerfile:3: RUN true: unable to find user nobody-here" in done.stderr
    assert ">>> RUN true" in done.stderr
