from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from holdall.errors import InvalidInput, SystemFailure
from holdall.registry.credential import Credential
from holdall.registry.helper import Helper

KEEPER = """
server=$(cat)
file="$HOME/kept"
case "$1" in
store) printf %s "$server" > "$file" ;;
get)
    if ! grep -qF "\\"ServerURL\\": \\"$server\\"" "$file" 2>/dev/null; then
        echo "credentials not found in native keychain"
        exit 1
    fi
    cat "$file" ;;
erase) rm -f "$file" ;;
esac
"""


def helper(path: Path, script: str, name: str = "test", timeout: float = 10.0) -> Helper:
    program = path / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    return Helper(name, {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(path)}, timeout)


def test_store_get_erase(tmp_path: Path) -> None:
    keeper = helper(tmp_path, KEEPER)
    assert keeper.get("reg.io") is None
    keeper.store("reg.io", Credential("ann", "secret"))
    assert keeper.get("reg.io") == Credential("ann", "secret")
    assert keeper.get("other.io") is None
    keeper.erase("reg.io")
    assert keeper.get("reg.io") is None


def test_identity_tokens_have_a_name_of_their_own(tmp_path: Path) -> None:
    keeper = helper(tmp_path, KEEPER)
    keeper.store("reg.io", Credential("ann", "", "idt"))
    assert '"Username": "<token>"' in (tmp_path / "kept").read_text()
    assert keeper.get("reg.io") == Credential(identity_token="idt")


def test_a_missing_helper_is_named_with_a_way_out() -> None:
    with pytest.raises(InvalidInput, match='cannot run credential helper "docker-credential-nowhere"') as caught:
        Helper("nowhere", {"PATH": "/nonexistent"}).get("reg.io")
    assert "credsStore" in (caught.value.hint or "")


def test_a_name_is_no_path() -> None:
    with pytest.raises(InvalidInput, match="is not the name"):
        Helper("../../tmp/x", dict(os.environ)).get("reg.io")


def test_a_failing_helper_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match='"docker-credential-test get" failed: key ring is locked'):
        helper(tmp_path, "echo key ring is locked; exit 3").get("reg.io")


def test_a_helper_that_reads_nothing(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match="no"):
        helper(tmp_path, "exec <&-; echo no; exit 1").store("reg.io", Credential("ann", "x" * 100_000))


def test_a_helper_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(SystemFailure, match="gave no answer"):
        helper(tmp_path, 'sleep 60 & echo $! > "$HOME/pid"; wait', timeout=0.3).get("reg.io")
    assert time.monotonic() - started < 10
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while time.monotonic() < until and _runs(child):
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_helper_that_talks_without_end(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match="more than"):
        helper(tmp_path, "yes").get("reg.io")


def test_a_helper_that_closes_its_output_and_stays(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match="does not end"):
        helper(tmp_path, "exec >&-; sleep 60", timeout=0.3).get("reg.io")


@pytest.mark.parametrize("script", ["echo '['", "echo '[]'", "echo '{\"Secret\": 1}'"])
def test_a_helper_that_answers_nonsense(tmp_path: Path, script: str) -> None:
    with pytest.raises(SystemFailure, match="docker-credential-test"):
        helper(tmp_path, script).get("reg.io")


def test_no_secret_is_no_credential(tmp_path: Path) -> None:
    assert helper(tmp_path, 'echo \'{"Username": "ann", "Secret": ""}\'').get("reg.io") is None
