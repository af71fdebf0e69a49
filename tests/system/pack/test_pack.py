"""Images made by `pack` run by themselves: unpacked to a folder, entered by chroot, executed."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from holdall.errors import InvalidInput, InvalidOption, PathNotFound
from holdall.image.image import Image
from holdall.image.validate import check_image
from holdall.layer.compression import open_layer
from holdall.pack.options import Added, PackOptions
from holdall.pack.pack import pack, plan_pack
from holdall.testing.elf import build_elf

OPTIONS = PackOptions()
PLAIN = PackOptions(bytecode=False)
PYTHON = "/usr/bin/python3"

needs_root = pytest.mark.root
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def extract(image: Image, root: Path) -> None:
    """All layers on top of each other, by the system's tar."""
    root.mkdir()
    for layer in image.layers:
        tar = subprocess.Popen(["tar", "-xpf", "-", "-C", root], stdin=subprocess.PIPE)
        with layer.open() as blob, tar.stdin as pipe:  # type: ignore[union-attr]
            shutil.copyfileobj(open_layer(blob, layer.descriptor.media_type), pipe)  # type: ignore[arg-type, misc]
        assert tar.wait() == 0


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Pack, check, extract, and run the image's entrypoint with arguments in it."""

    def start(
        programs: Sequence[str], arguments: Sequence[str] = (), options: PackOptions = PLAIN, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        image = pack(programs, options, str(tmp_path))
        check_image(image)
        root = tmp_path / "root"
        extract(image, root)
        (root / "dev").mkdir(exist_ok=True)
        (root / "dev/null").touch()
        env = dict(one.split("=", 1) for one in image.config.config.env)
        command = ["chroot", str(root), *image.config.config.argv, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, input=stdin, timeout=60)

    return start


PIPES = "id -un; cat /etc/nsswitch.conf | cat | { read a b; echo $a $b; }"
PERL = "use strict; use POSIX; use Encode; print POSIX::floor(3.5), encode('UTF-8', chr 228)"


@needs_root
@pytest.mark.parametrize(
    ("programs", "arguments", "out", "error"),
    [
        (["/bin/true"], [], "", ""),
        (["/bin/sh"], ["-c", "echo $0; echo /bin/*"], "/bin/sh\n/bin/dash /bin/sh\n", ""),
        (["bash", "/usr/bin/id", "cat"], ["-c", PIPES], "root\npasswd: files\n", ""),
        (["/usr/sbin/ldconfig"], ["-p", "-C", "/none"], "", "Can't open cache file /none"),
        (["perl"], ["-e", PERL], "3ä", ""),
        (["git"], ["--exec-path"], "/usr/lib/git-core\n", ""),
    ],
    ids=["true", "dash", "bash", "static", "perl", "git"],
)
def test_programs_run(run: Run, programs: list[str], arguments: list[str], out: str, error: str) -> None:
    if shutil.which(programs[0]) is None:
        pytest.skip(f"no {programs[0]} here")
    done = run(programs, arguments)
    assert done.stdout == out
    assert error in done.stderr
    assert error or (done.stderr, done.returncode) == ("", 0)


PROBE = """
import ssl, sqlite3, ctypes, lzma, bz2, zlib, json, asyncio, hashlib, decimal, socket, threading, pwd, sys, uuid
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
assert ctypes.CDLL(None).getpid() > 0
assert pwd.getpwuid(65534).pw_name == "nobody"
assert hashlib.sha3_256(b"").digest()
asyncio.run(asyncio.sleep(0))
threading.Thread(target=print, args=("thread",)).start()
print(len(ssl.create_default_context().get_ca_certs()) > 10)
print(sys.executable, sys.flags.utf8_mode or sys.stdout.encoding)
"""


@needs_root
def test_the_systems_python_runs_with_its_libraries(run: Run) -> None:
    done = run([PYTHON], ["-c", PROBE])
    assert done.stderr == ""
    assert sorted(done.stdout.split("\n")[:3]) == sorted(["thread", "True", f"{PYTHON} utf-8"])


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A venv with a package, an editable install by .pth, one by a finder, and tools that are nobody's business."""
    folder = tmp_path / "venv"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3.*/site-packages")
    (site / "installed").mkdir()
    (site / "installed/__init__.py").write_text("NAME = 'installed'\n")
    (site / "installed/data.txt").write_text("data")
    (site / "installed/broken.py").write_text("print 'python 2'\n")
    (tmp_path / "work/editable").mkdir(parents=True)
    (tmp_path / "work/editable/__init__.py").write_text("NAME = 'editable'\n")
    (tmp_path / "work/secret.env").write_text("not importable")
    (tmp_path / "far/found").mkdir(parents=True)
    (tmp_path / "far/found/__init__.py").write_text("NAME = 'found'\n")
    (site / "work.pth").write_text(f"{tmp_path}/work\n")
    (site / "__editable___found_finder.py").write_text(
        textwrap.dedent(f"""
        import sys, importlib.util
        MAPPING = {{"found": "{tmp_path}/far/found"}}
        class Finder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                if name in MAPPING:
                    return importlib.util.spec_from_file_location(name, MAPPING[name] + "/__init__.py")
        sys.meta_path.append(Finder)
        """)
    )
    (site / "found.pth").write_text("import __editable___found_finder\n")
    return folder


IMPORTS = "import installed, editable, found, sys; print(installed.NAME, editable.NAME, found.NAME, sys.prefix)"


@needs_root
def test_a_venv_runs_with_all_it_can_import(run: Run, venv: Path, tmp_path: Path) -> None:
    script = venv / "bin/app"
    script.write_text(f"#!{venv}/bin/python3\n{IMPORTS}\n")
    script.chmod(0o755)
    done = run([str(script)], [], OPTIONS)
    assert (done.stdout, done.stderr) == (f"installed editable found {venv}\n", "")
    root = tmp_path / "root"
    inside = f"{root}{tmp_path}"
    assert not os.path.exists(f"{inside}/work/secret.env")
    assert os.path.isfile(f"{inside}/venv/pyvenv.cfg")
    assert list(Path(inside).glob("venv/lib/*/site-packages/installed/__pycache__/__init__.*.pyc"))
    assert not list(Path(inside).glob("venv/lib/*/site-packages/installed/__pycache__/broken.*.pyc"))


@needs_root
def test_compiled_modules_are_valid_in_the_image(run: Run, venv: Path, tmp_path: Path) -> None:
    code = "import importlib.util, json, email.message, installed\n"
    code += "for m in (json, email.message, installed): print(importlib.util.cache_from_source(m.__file__))"
    done = run([str(venv / "bin/python")], ["-v", "-c", code], PackOptions(epoch=1_700_000_000))
    assert done.returncode == 0
    for cached in done.stdout.splitlines():
        assert f"code object from '{cached}'" in done.stderr, cached
    assert "wrote" not in done.stderr


@pytest.mark.skipif(shutil.which("pyenv") is None, reason="no pyenv here")
def test_behind_a_pyenv_shim_is_the_real_interpreter() -> None:
    plan = plan_pack(["python3"], PLAIN)
    real = subprocess.run(["pyenv", "which", "python3"], capture_output=True, text=True, check=True).stdout.strip()
    assert plan.programs == (real,)
    assert plan.config.env[0].startswith(f"PATH={os.path.dirname(real)}:")
    assert any("libpython3" in item.path for item in plan.base)


@needs_root
def test_scripts_by_env_and_nested(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "wrap").write_text('#!/bin/sh\necho "wrapped: $(cat "$1" | tail -n 1)"\n')
    (tools / "app").write_text("#!/usr/bin/env -S wrap\nlast line")
    for name in ("wrap", "app"):
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    done = run(["app", "cat", "tail"])
    assert (done.stdout, done.stderr) == ("wrapped: last line\n", "")


@needs_root
def test_a_library_known_to_the_cache_alone(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those in /usr/local/cuda/lib are. The image gets a cache of its own."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler here")
    opt = tmp_path / "opt"
    opt.mkdir()
    (opt / "a.c").write_text("int answer(void) { return 42; }")
    (opt / "main.c").write_text("int answer(void); int main(void) { return answer(); }")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", "libanswer.so.1", "-Wl,-soname,libanswer.so.1", "a.c"], cwd=opt, check=True
    )
    subprocess.run(["gcc", "-o", "main", "main.c", "libanswer.so.1"], cwd=opt, check=True)
    with pytest.raises(PathNotFound, match=r'library "libanswer\.so\.1" not found, which ".*/main" needs'):
        plan_pack([str(opt / "main")], PLAIN)
    from holdall.pack import ldcache

    real = ldcache.read_cache()
    known = {**real, "libanswer.so.1": (str(opt / "libanswer.so.1"),)}
    monkeypatch.setattr(ldcache, "read_cache", lambda: known)
    assert run([str(opt / "main")]).returncode == 42


def digest(options: PackOptions, folder: Path, programs: Sequence[str]) -> str:
    return str(pack(programs, options, str(folder)).digest)


def test_packed_twice_the_digest_is_the_same(tmp_path: Path, venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/b").write_text("b")
    (tmp_path / "app/a").write_text("a")
    os.chmod(tmp_path / "app/a", 0o644)
    options = PackOptions(add=(Added(str(tmp_path / "app"), "/srv"),), env=("B=1", "A=2"), labels={"y": "1", "x": "2"})
    python = str(venv / "bin/python")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    first = digest(options, tmp_path, [python, "sh"])
    monkeypatch.chdir("/")
    before = os.umask(0o077)
    try:
        os.utime(tmp_path / "app/a", (5, 5))
        os.utime(tmp_path / "app", (5, 5))
        subprocess.run([python, "-c", "import installed, editable, found"], check=True)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
        assert digest(options, tmp_path, [python, "sh"]) == first
    finally:
        os.umask(before)
    (tmp_path / "app/a").write_text("changed")
    assert digest(options, tmp_path, [python, "sh"]) != first


def test_source_date_epoch_is_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    image = pack(["/bin/true"], PLAIN, str(tmp_path))
    assert image.config.created == "2023-11-14T22:13:20Z"
    with image.layer(0).open() as blob:
        shown = subprocess.run(
            ["tar", "-tvzf", "-", "--full-time"],
            stdin=blob,
            capture_output=True,
            text=True,
            check=True,
            env={"TZ": "UTC"},
        ).stdout
    assert {" ".join(line.split()[3:5]) for line in shown.splitlines()} == {"2023-11-14 22:13:20"}
    assert {line.split()[1] for line in shown.splitlines()} == {"0/0"}


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_compressions_hold_the_same_layer(tmp_path: Path, compression: str) -> None:
    image = pack(["/bin/true"], PackOptions(compression=compression), str(tmp_path))
    check_image(image)
    plain = pack(["/bin/true"], PackOptions(compression="none"), str(tmp_path))
    assert image.config.diff_ids == plain.config.diff_ids


def test_configuration(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    options = PackOptions(
        add=(Added(str(tmp_path / "f"), "f"),),
        entrypoint=("/bin/sh", "-c"),
        cmd=("true",),
        env=("LANG=de_DE", "X=1"),
        working_dir="/srv",
        user="nobody",
        labels={"b": "2"},
        expose=("80",),
        volumes=("/data",),
        stop_signal="SIGINT",
    )
    plan = plan_pack(["/bin/sh"], options)
    config = plan.config
    assert config.argv == ("/bin/sh", "-c", "true")
    assert config.env == ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=de_DE", "X=1")
    assert (config.working_dir, config.user, config.stop_signal) == ("/srv", "nobody", "SIGINT")
    assert (config.exposed_ports, config.volumes) == (("80/tcp",), ("/data",))
    assert "/srv/f" in plan.added
    assert plan_pack(["/bin/sh"], PLAIN).config.entrypoint == ("/bin/sh",)
    assert any("named on the command line" in line for line in plan.describe())


def test_what_is_added_is_a_layer_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    plain = pack(["/bin/true"], PLAIN, str(tmp_path))
    both = pack(["/bin/true"], PackOptions(add=(Added(str(tmp_path / "f"), "/f"),)), str(tmp_path))
    assert both.config.diff_ids[:1] == plain.config.diff_ids
    assert len(both.layers) == 2


def test_files_alone_make_an_image(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    image = pack([], PackOptions(add=(Added(str(tmp_path / "f"), "/f"),)), str(tmp_path))
    check_image(image)
    assert image.config.config.entrypoint is None


def test_users_must_be_known_to_the_image(tmp_path: Path) -> None:
    for user in ("app", "0:staff"):
        with pytest.raises(InvalidOption, match="is not in the image's"):
            plan_pack(["/bin/true"], PackOptions(user=user))
    (tmp_path / "passwd").write_text("app:x:5:5::/:/bin/sh\n")
    added = (Added(str(tmp_path / "passwd"), "/etc/passwd"),)
    assert plan_pack(["/bin/true"], PackOptions(user="app", add=added)).config.user == "app"
    for user in ("1000", "1000:1000", "nobody:nogroup", "root"):
        assert plan_pack(["/bin/true"], PackOptions(user=user)).config.user == user


def test_what_cannot_be_packed(tmp_path: Path) -> None:
    text, foreign, python = tmp_path / "text", tmp_path / "foreign", tmp_path / "python3"
    text.write_text("hello")
    foreign.write_bytes(build_elf(machine=9, needed=["libc.so.6"], interpreter="/bin/true"))
    python.write_bytes(Path("/bin/false").read_bytes())
    for path in (text, foreign, python):
        path.chmod(0o755)
    with pytest.raises(InvalidInput, match="nothing to pack"):
        plan_pack([], PLAIN)
    with pytest.raises(PathNotFound, match="not found in PATH"):
        plan_pack(["no-such-program-here"], PLAIN)
    with pytest.raises(InvalidInput, match="neither an elf program nor a script") as caught:
        plan_pack([str(text)], PLAIN)
    assert caught.value.hint is not None
    with pytest.raises(PathNotFound, match=r'library "libc\.so\.6" not found'):
        plan_pack([str(foreign)], PLAIN)
    with pytest.raises(InvalidInput, match="does not tell where its modules are"):
        plan_pack([str(python)], PLAIN)


def test_processors_are_not_mixed(tmp_path: Path) -> None:
    for name, machine in (("a", 62), ("b", 183)):
        (tmp_path / name).write_bytes(build_elf(machine=machine))
        (tmp_path / name).chmod(0o755)
    with pytest.raises(InvalidInput, match="different processors: amd64, arm64"):
        plan_pack([str(tmp_path / "a"), str(tmp_path / "b")], PLAIN)
    assert plan_pack([str(tmp_path / "b")], PLAIN).platform.architecture == "arm64"


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    from holdall.pack.pack import build

    (tmp_path / "f").write_text("x")
    plan = plan_pack([], PackOptions(add=(Added(str(tmp_path / "f"), "/f"),)))
    (tmp_path / "f").unlink()
    with pytest.raises(InvalidInput, match="vanished"):
        build(plan, str(tmp_path))


def test_nothing_is_left_in_the_directory(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    image = pack(["/bin/true"], PLAIN, str(work))
    assert list(work.iterdir()) == []
    with image.layer(0).open() as blob:
        assert blob.read(2) == b"\x1f\x8b"
