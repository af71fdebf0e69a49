from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from holdall.store import locks


def test_a_lock_is_exclusive_until_released(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = locks.attempt(path)
    assert first is not None
    assert locks.attempt(path) is None
    first.release()
    second = locks.attempt(path)
    assert second is not None
    second.remove()
    assert not os.path.exists(path)


def test_attempt_makes_no_file_when_told_so(tmp_path: Path) -> None:
    assert locks.attempt(str(tmp_path / "lock"), create=False) is None
    assert os.listdir(tmp_path) == []


def test_waiting_ends_at_the_timeout(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with locks.acquire(path), pytest.raises(TimeoutError):
        locks.acquire(path, timeout=0.05)


def test_a_waiter_gets_a_lock_whose_file_was_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = locks.acquire(path)
    got: list[locks.FileLock] = []
    waiter = threading.Thread(target=lambda: got.append(locks.acquire(path, timeout=10)))
    waiter.start()
    first.remove()
    waiter.join()
    assert os.path.samestat(os.fstat(got[0].fd), os.stat(path))
    got[0].remove()


def test_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    code = (
        "import time; from holdall.store import locks\n"
        f"lock = locks.acquire({path!r}); print('held', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    owner.stdout.readline()
    assert locks.attempt(path) is None
    owner.kill()
    owner.wait()
    owner.stdout.close()
    with locks.acquire(path, timeout=5):
        pass


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        locks.attempt(str(tmp_path / "lock"))
