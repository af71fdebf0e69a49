from __future__ import annotations

from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.registry.server import passwords
from holdall.registry.server.passwords import Passwords

# "secret", with few rounds
BCRYPT = "$2y$05$VIOwPG9C2BjZ8EeVSjw2eutT4aoWc9QRTzM.qRQ5tL2TiI8gEKUiO"


@pytest.fixture(scope="module")
def hashed() -> str:
    """A hash of "secret" by the C library itself."""
    import ctypes

    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    found: bytes = library.crypt(b"secret", b"$2b$05$abcdefghijklmnopqrstuu")
    return found.decode()


def test_right_and_wrong_passwords(hashed: str) -> None:
    users = Passwords({"alice": hashed})
    assert not users.remembered("alice", "secret")
    assert users.check("alice", "secret")
    assert users.remembered("alice", "secret")
    assert not users.remembered("alice", "other")
    assert not users.check("alice", "Secret")
    assert not users.check("bob", "secret")
    assert not users.check("alice", "")
    assert not users.check("alice", "secret\0")
    assert not users.check("alice", "x" * 5000)
    assert not Passwords({}).check("alice", "secret")


def test_user_and_password_do_not_run_together(hashed: str) -> None:
    users = Passwords({"a": hashed})
    users.check("a", "secret")
    assert not users.remembered("as", "ecret")


def test_files_are_read(tmp_path: Path, hashed: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"# people\n\nalice:{hashed}\nbob:{hashed}\n")
    assert Passwords.read(str(file)).check("bob", "secret")
    before = passwords.fingerprint(str(file))
    file.write_text("")
    assert passwords.fingerprint(str(file)) != before
    assert passwords.fingerprint(str(tmp_path / "none")) == ""


@pytest.mark.parametrize(
    "line",
    ["alice", ":x", "alice:secret", "alice:{SHA}x", "alice:$apr1$x$y", "alice:$1$x$y", "x" * 300 + ":" + BCRYPT],
)
def test_weak_or_malformed_lines_are_refused(line: str) -> None:
    with pytest.raises(InvalidInput, match="line 1"):
        passwords.parse(line, "users")


def test_a_file_that_is_no_text_or_too_long_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="utf-8"):
        Passwords.read(str(file))
    file.write_bytes(b"#" * ((4 << 20) + 1))
    with pytest.raises(InvalidInput, match="more than"):
        Passwords.read(str(file))


@pytest.mark.parametrize("kind", ["argon2id", "argon2i", "argon2d"])
def test_argon2(tmp_path: Path, kind: str) -> None:
    from argon2 import PasswordHasher, Type

    kinds = {"argon2id": Type.ID, "argon2i": Type.I, "argon2d": Type.D}
    hashed = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=kinds[kind]).hash("secret")
    assert hashed.startswith(f"${kind}$")
    (tmp_path / "users").write_text(f"alice:{hashed}\n")
    users = Passwords.read(str(tmp_path / "users"))
    assert users.check("alice", "secret")
    assert users.remembered("alice", "secret")
    assert not users.check("alice", "Secret")
    assert not users.check("alice", "x" * 5000)
    assert not users.check("bob", "secret")


@pytest.mark.parametrize(
    "hashed",
    ["$argon2id$", "$argon2id$v=19$m=64,t=1,p=1$x", "$argon2x$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAA",
     "$argon2id$v=19$m=99999999,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"],
)  # fmt: skip
def test_argon2_hashes_that_nobody_can_have_meant(tmp_path: Path, hashed: str) -> None:
    (tmp_path / "users").write_text(f"alice:{hashed}\n")
    with pytest.raises(InvalidInput, match="argon2 hash"):
        Passwords.read(str(tmp_path / "users"))


def test_the_mark_of_a_user_changes_with_the_password() -> None:
    one, two = Passwords({"a": "$2b$x", "b": "$2b$x"}), Passwords({"a": "$2b$y"})
    assert one.mark("a") == one.mark("b") != two.mark("a")
    assert one.mark("c") == ""
    assert "$2b$" not in one.mark("a")
