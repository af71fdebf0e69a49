"""Where files come from: archives, URLs and repositories in ADD, contexts from anywhere, named contexts."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from holdall.testing.command import CommandStore, busybox_available, busybox_tar
from holdall.testing.supervised import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(scope="module")
def store() -> Iterator[CommandStore]:
    folder = tempfile.mkdtemp(prefix="holdall-sources-")
    store = CommandStore(folder)
    try:
        store.run("import", busybox_tar(folder + "/bb.tar"), "bb")
        yield store
        assert not [name for name in os.listdir(store.paths.ingest) if name.startswith("work-")]
        store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Site:
    """Files of a folder over http on loopback, with ETags; counts what was asked and what was sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.sent: list[str] = []
        self.failures: list[int] = []
        self.headers: dict[str, str] = {}
        self.seen: list[dict[str, str]] = []
        self.gate: threading.Event | None = None
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        self.asked.append(path)
        self.seen.append({key.lower(): value for key, value in request.headers.items()})
        if self.gate is not None:
            self.gate.wait(60)
        file = self.folder / path.lstrip("/")
        if self.failures:
            request.send_error(self.failures.pop(0))
            return
        if not file.is_file():
            request.send_error(404)
            return
        data = file.read_bytes()
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == tag:
            request.send_response(304)
            request.end_headers()
            return
        self.sent.append(path)
        request.send_response(200)
        for name, value in {"ETag": tag, "Content-Length": str(len(data)), **self.headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site")
    yield site
    site.close()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    found = tmp_path / "context"
    found.mkdir()
    return found


def write(context: Path, text: str) -> str:
    (context / "Dockerfile").write_text(text)
    return str(context)


def built(store: CommandStore, *words: str) -> str:
    return store.run("build", "-q", *words)


def shown(store: CommandStore, image: str, script: str) -> str:
    return store.run("run", "--rm", "--network", "none", image, "sh", "-c", script)


def listed(store: CommandStore, image: str, *paths: str) -> dict[str, str]:
    """Mode, owner and time of every path below these, as busybox tells."""
    script = 'for f in $(busybox find "$@" | busybox sort); do busybox stat -c "%n %A %u:%g %Y" "$f"; done'
    text = store.run("run", "--rm", "--network", "none", image, "sh", "-c", script, "sh", *paths)
    return {line.split(" ")[0]: line.partition(" ")[2] for line in text.splitlines()}


def archive(form: str = "", *, more: list[tuple[tarfile.TarInfo, bytes]] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data, mode, uid in (("dir/file", b"content\n", 0o640, 7), ("top", b"top\n", 0o755, 0)):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid, info.mtime = len(data), mode, uid, uid, 4_000_000_000
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("hard")
        link.type, link.linkname = tarfile.LNKTYPE, "dir/file"
        tar.addfile(link)
        for info, data in more or []:
            tar.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    if form == "xz":
        return lzma.compress(data)
    command = {"gzip": ["gzip", "-nc"], "bzip2": ["bzip2", "-c"], "zstd": ["zstd", "-qc"]}.get(form)
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout if command else data


@pytest.mark.parametrize("form", ["", "gzip", "bzip2", "xz", "zstd"])
def test_an_archive_is_known_by_its_content_and_becomes_the_layer(
    store: CommandStore, context: Path, form: str
) -> None:
    if form in ("zstd", "bzip2") and shutil.which(form) is None:
        pytest.skip(f"needs {form}")
    (context / "any-name").write_bytes(archive(form))
    (context / "fake.tar.gz").write_text("no archive\n")
    folder = write(context, "FROM bb\nADD any-name /into\nADD fake.tar.gz any-name /both/\n")
    image = built(store, folder)
    found = listed(store, image, "/into", "/both")
    assert found["/into/dir/file"].startswith("-rw-r----- 7:7 ")
    assert int(found["/into/dir/file"].split()[-1]) < 4_000_000_000
    assert found["/both/fake.tar.gz"].startswith("-rw-r--r-- 0:0")
    assert "/both/top" in found
    assert shown(store, image, "cat /into/hard") == "content"


def test_an_archive_with_another_owner_and_one_that_stays_whole(store: CommandStore, context: Path) -> None:
    (context / "a").write_bytes(archive())
    image = built(store, write(context, "FROM bb\nADD --chown=5:6 a /into\nADD --unpack=false a /kept\n"))
    found = listed(store, image, "/into", "/kept")
    assert found["/into/dir/file"].startswith("-rw-r----- 5:6 ")
    assert "/kept" in found
    assert "/kept/top" not in found


def test_an_archive_follows_the_links_of_the_image(store: CommandStore, context: Path) -> None:
    (context / "a.tar").write_bytes(archive())
    image = built(
        store,
        write(context, "FROM bb\nRUN busybox mkdir -m 700 /usr /usr/dir; busybox ln -s usr/dir /dir\nADD a.tar /\n"),
    )
    assert shown(store, image, "cat /usr/dir/file; busybox readlink /dir").split() == ["content", "usr/dir"]
    assert listed(store, image, "/usr")["/usr"].startswith("drwx------")


def test_a_url_is_asked_for_each_time_and_fetched_once(store: CommandStore, context: Path, site: Site) -> None:
    (site.folder / "tool.bin").write_bytes(b"tool" * 1000)
    folder = write(context, f"FROM bb\nADD {site.url}/tool.bin /opt/\nADD {site.url}/tool.bin /named\n")
    image = built(store, folder)
    found = listed(store, image, "/opt", "/named")
    assert found["/opt/tool.bin"].startswith("-rw------- 0:0")
    assert found["/named"].startswith("-rw------- 0:0")
    assert site.sent == ["/tool.bin"]
    told = store.attempt("build", folder)
    assert told.stderr.count("CACHED") == 2
    assert site.sent == ["/tool.bin"]
    assert len(site.asked) == 2
    (site.folder / "tool.bin").write_bytes(b"other")
    assert built(store, folder) != image
    assert len(site.sent) == 2


def test_a_checksum_needs_no_server_and_lets_nothing_else_in(store: CommandStore, context: Path, site: Site) -> None:
    (site.folder / "x").write_bytes(b"content")
    for algorithm in ("sha256", "sha512"):
        right = f"{algorithm}:{hashlib.new(algorithm, b'content').hexdigest()}"
        folder = write(context, f"FROM bb\nADD --checksum={right} {site.url}/x /{algorithm}\n")
        image = built(store, folder)
        asked = len(site.asked)
        assert built(store, folder) == image
        assert len(site.asked) == asked
    done = store.attempt("build", write(context, f"FROM bb\nADD --checksum=sha256:{'0' * 64} {site.url}/x /y\n"))
    assert done.returncode == 1
    assert "has the checksum" in done.stderr
    assert ">>> ADD" in done.stderr


def test_a_url_that_fails_is_tried_again_and_unpacked_if_asked(store: CommandStore, context: Path, site: Site) -> None:
    (site.folder / "a.tar.gz").write_bytes(archive("gzip"))
    site.failures = [503, 500]
    image = built(store, write(context, f"FROM bb\nADD --unpack=true {site.url}/a.tar.gz /into\n"))
    assert shown(store, image, "cat /into/dir/file") == "content"
    done = store.attempt("build", write(context, f"FROM bb\nADD {site.url}/gone /into\n"))
    assert done.returncode == 1
    assert "the server answered 404" in done.stderr
    assert ">>> ADD" in done.stderr


def test_a_token_goes_to_its_host_only(store: CommandStore, context: Path, site: Site, tmp_path: Path) -> None:
    (site.folder / "x").write_bytes(b"content")
    (tmp_path / "token").write_text("hush\n")
    folder = write(context, f"FROM bb\nADD {site.url}/x /x\n")
    built(store, "--secret", f"id=HTTP_AUTH_TOKEN_127.0.0.1,src={tmp_path}/token", folder)
    assert site.seen[-1]["authorization"] == "Bearer hush"
    built(store, "--no-cache", "--secret", f"id=HTTP_AUTH_TOKEN_else.where,src={tmp_path}/token", folder)
    assert "authorization" not in site.seen[-1]


def git(folder: Path, *words: str) -> str:
    env = {
        **os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent",
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b",
        "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000",
    }  # fmt: skip
    done = subprocess.run(["git", "-C", str(folder), *words], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def repository(folder: Path, files: dict[str, str]) -> Path:
    """A bare repository with one commit, which can be served by a plain web server."""
    work = folder.with_suffix(".work")
    work.mkdir(parents=True)
    git(work, "init", "-q", "-b", "main")
    for name, text in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "first")
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(folder)], check=True)
    git(folder, "update-server-info")
    return work


def push(work: Path, bare: Path) -> str:
    git(work, "commit", "-q", "-a", "-m", "next")
    git(work, "push", "-q", "--force", str(bare), "HEAD:main", "--tags")
    git(bare, "update-server-info")
    return git(work, "rev-parse", "HEAD")


@needs_git
def test_a_repository_is_added_by_branch_folder_and_commit(store: CommandStore, context: Path, site: Site) -> None:
    bare = site.folder / "project.git"
    work = repository(bare, {"main.c": "int main;\n", "docs/a.txt": "a\n", "run.sh": "#!/bin/sh\n"})
    (work / "run.sh").chmod(0o755)
    first = push(work, bare)
    url = f"{site.url}/project.git"
    image = built(store, write(context, f"FROM bb\nADD {url} /all\nADD {url}#main:docs /docs/\n"))
    found = listed(store, image, "/all", "/docs")
    assert "/all/.git" not in found
    assert found["/all/main.c"].startswith("-rw-r--r-- 0:0")
    assert found["/all/run.sh"].startswith("-rwxr-xr-x 0:0")
    assert "/docs/a.txt" in found
    fixed = write(context, f"FROM bb\nADD {url}#{first} /all\n")
    built(store, fixed)
    (work / "main.c").write_text("changed\n")
    push(work, bare)
    asked = len(site.asked)
    assert shown(store, built(store, fixed), "cat /all/main.c") == "int main;"
    assert len(site.asked) == asked
    again = built(store, write(context, f"FROM bb\nADD {url}?branch=main /all\n"))
    assert shown(store, again, "cat /all/main.c") == "changed"
    done = store.attempt("build", write(context, f"FROM bb\nADD --checksum={first[:9]} {url} /all\n"))
    assert "has the commit" in done.stderr
    done = store.attempt("build", write(context, f"FROM bb\nADD {url}#nowhere /all\n"))
    assert 'has no branch or tag "nowhere"' in done.stderr


@needs_git
def test_a_kept_git_folder_is_the_same_each_time(store: CommandStore, context: Path, site: Site) -> None:
    repository(site.folder / "p.git", {"file": "text\n"})
    folder = write(context, f"FROM bb\nADD --keep-git-dir=true {site.url}/p.git /p\n")
    image = built(store, folder)
    assert "/p/.git/HEAD" in listed(store, image, "/p")
    assert built(store, "--no-cache", folder) == image


@needs_git
def test_submodules_come_along_and_only_over_the_net(store: CommandStore, context: Path, site: Site) -> None:
    repository(site.folder / "inner.git", {"in": "inner\n"})
    commit = git(site.folder / "inner.git", "rev-parse", "HEAD")
    work = repository(site.folder / "outer.git", {"out": "outer\n"})
    modules = '[submodule "x"]\n\tpath = sub\n\turl = {}\n'
    (work / ".gitmodules").write_text(modules.format("../inner.git"))
    (work / "sub").mkdir()
    git(work, "add", ".gitmodules")
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    push(work, site.folder / "outer.git")
    url = f"{site.url}/outer.git"
    image = built(store, write(context, f"FROM bb\nADD {url} /all\nADD {url}?submodules=false /bare\n"))
    assert shown(store, image, "cat /all/sub/in /all/out").split() == ["inner", "outer"]
    assert "/bare/sub/in" not in listed(store, image, "/bare")
    (work / ".gitmodules").write_text(modules.format(f"file://{site.folder}/inner.git"))
    push(work, site.folder / "outer.git")
    done = store.attempt("build", write(context, f"FROM bb\nADD {url} /all\n"))
    assert done.returncode == 1
    assert "only http, ssh and git are" in done.stderr


@needs_git
def test_a_repository_is_a_context_and_the_image_has_the_time_of_its_commit(store: CommandStore, site: Site) -> None:
    text = "FROM bb\nCOPY . /all\n"
    work = repository(
        site.folder / "c.git",
        {"Dockerfile": text, "a": "a\n", "b": "b\n", ".dockerignore": "b\n.git\n", "sub/c": "c\n",
         "sub/Dockerfile": "FROM bb\nCOPY c /c\n"},
    )  # fmt: skip
    url = f"{site.url}/c.git"
    image = built(store, url)
    found = listed(store, image, "/all")
    assert "/all/a" in found
    assert "/all/b" not in found
    assert found["/all/a"].endswith(" 315532800")
    assert json.loads(store.run("image", "inspect", image))[0]["Created"] == "2023-11-14T22:13:20Z"
    assert shown(store, built(store, f"{url}#main:sub"), "cat /c") == "c"
    assert built(store, str(work)) == image


def test_a_tar_and_a_dockerfile_from_standard_input(store: CommandStore, context: Path, tmp_path: Path) -> None:
    def fed(data: bytes, *words: str) -> str:
        with open(tmp_path / "input", "wb") as file:
            file.write(data)
        with open(tmp_path / "input", "rb") as file:
            process = store.begin("build", "-q", *words, stdin=file)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err.decode()
        return out.decode().strip()

    info = tarfile.TarInfo("Dockerfile")
    text = b"FROM bb\nCOPY dir /dir\n"
    info.size = len(text)
    other = tarfile.TarInfo("other")
    other.size = len(text)
    for form in ("", "gzip", "xz"):
        data = archive(form, more=[(info, text), (other, text)])
        image = fed(data, "-")
        assert shown(store, image, "cat /dir/file") == "content"
        assert listed(store, image, "/dir")["/dir/file"].startswith("-rw-r----- 0:0")
        assert fed(data, "-f", "other", "-").startswith("sha256:")
    assert shown(store, fed(b"FROM bb\nRUN echo text > /x\n", "-"), "cat /x") == "text"
    (context / "main.txt").write_text("main\n")
    assert shown(store, fed(b"FROM bb\nCOPY main.txt /\n", "-f", "-", str(context)), "cat /main.txt") == "main"


def test_an_archive_and_a_dockerfile_behind_a_url(store: CommandStore, site: Site) -> None:
    info = tarfile.TarInfo("Dockerfile")
    text = b"FROM bb\nCOPY top /top\n"
    info.size = len(text)
    (site.folder / "c.tar.gz").write_bytes(archive("gzip", more=[(info, text)]))
    (site.folder / "plain").write_bytes(b"FROM bb\nRUN echo plain > /x\n")
    assert shown(store, built(store, f"{site.url}/c.tar.gz"), "cat /top") == "top"
    assert shown(store, built(store, f"{site.url}/plain"), "cat /x") == "plain"


def test_named_contexts_in_the_place_of_stages_images_and_folders(
    store: CommandStore, context: Path, tmp_path: Path, site: Site
) -> None:
    side = tmp_path / "side"
    side.mkdir()
    (side / "kept").write_text("kept\n")
    (side / "left").write_text("left\n")
    (side / ".dockerignore").write_text("left\n")
    (site.folder / "a.tar").write_bytes(archive())
    text = (
        "FROM nowhere/at-all:1 AS base\nFROM missing AS made\nRUN false\nFROM base\nCOPY --from=side . /side\n"
        "COPY --from=one . /one/\nCOPY --from=made /kept /made\nCOPY --from=web dir/file /web\n"
        "RUN --mount=type=bind,from=side,target=/m cat /m/kept > /mounted\n"
    )
    image = built(
        store,
        "--build-context", "nowhere/at-all:1=docker-image://bb",
        "--build-context", f"made={side}",
        "--build-context", f"side={side}",
        "--build-context", f"one={side}/kept",
        "--build-context", f"web={site.url}/a.tar",
        write(context, text),
    )  # fmt: skip
    found = listed(store, image, "/side", "/one", "/made", "/web")
    assert {"/side/kept", "/one/kept", "/made", "/web"} <= set(found)
    assert "/side/left" not in found
    assert shown(store, image, "cat /mounted") == "kept"
    base = built(store, "--build-context", f"base={side}", write(context, "FROM base\nCOPY Dockerfile /\n"))
    store.run("create", "--name", "probe", base, "x")
    with tempfile.TemporaryFile() as out:
        process = store.begin("export", "probe")
        out.write(process.communicate()[0])
        out.seek(0)
        names = set(tarfile.open(fileobj=out).getnames())
    store.run("rm", "probe")
    assert {"kept", "Dockerfile"} <= names
    assert "left" not in names


def test_an_image_layout_is_a_named_context(store: CommandStore, context: Path, tmp_path: Path) -> None:
    (context / "x").write_text("x\n")
    built(store, "-t", "laid:1", write(context, "FROM bb\nCOPY x /laid\n"))
    store.run("save", "--format", "oci-archive", "-o", str(tmp_path / "laid.tar"), "laid:1")
    layout = tmp_path / "layout"
    layout.mkdir()
    subprocess.run(["tar", "-C", str(layout), "-xf", str(tmp_path / "laid.tar")], check=True)
    for value in (f"oci-layout://{layout}:1", f"oci-layout://{layout}"):
        image = built(store, "--build-context", f"b={value}", write(context, "FROM b\nCOPY x /more\n"))
        assert shown(store, image, "cat /laid /more").split() == ["x", "x"]


def test_a_linked_layer_stays_when_what_is_below_changes(store: CommandStore, context: Path) -> None:
    (context / "x").write_text("x\n")
    text = "FROM bb\nRUN busybox ln -s /elsewhere /data; echo {}\nCOPY --link x /data/x\nCOPY x /y\n"
    store.run("build", write(context, text.format(1)))
    told = store.attempt("build", write(context, text.format(2)))
    assert told.returncode == 0, told.stderr
    lines = [line for line in told.stderr.splitlines() if "CACHED" in line]
    assert any("--link" in line for line in lines)
    image = told.stdout.strip()
    assert shown(store, image, "busybox stat -c %F /data; cat /data/x").splitlines() == ["directory", "x"]


def test_permissions_in_symbols(store: CommandStore, context: Path) -> None:
    (context / "d").mkdir()
    for name, mode in (("d/plain", 0o600), ("d/run", 0o711)):
        (context / name).write_text("x")
        (context / name).chmod(mode)
    image = built(store, write(context, "FROM bb\nCOPY --chmod=u=rwX,go=rX d /d\nCOPY --chmod=g+w,+x d/plain /p\n"))
    found = {name: line.split()[0] for name, line in listed(store, image, "/d", "/p").items()}
    assert found == {"/d": "drwxr-xr-x", "/d/plain": "-rw-r--r--", "/d/run": "-rwxr-xr-x", "/p": "-rwx-wx--x"}
    done = store.attempt("build", write(context, "FROM bb\nCOPY --chmod=u=q d /d\n"))
    assert '--chmod="u=q" is no mode' in done.stderr


@needs_git
def test_what_a_killed_build_fetched_goes_with_the_next(store: CommandStore, site: Site) -> None:
    def left() -> list[str]:
        return [name for name in os.listdir(store.paths.ingest) if name.startswith("work-")]

    site.gate = threading.Event()
    try:
        process = store.begin("build", f"{site.url}/slow.git")
        eventually(lambda: site.asked != [])
        assert left()
        process.kill()
        process.communicate()
    finally:
        site.gate.set()
    assert left()
    (site.folder / "slow.tar").write_bytes(archive())
    store.attempt("build", f"{site.url}/slow.tar")
    assert not left()
