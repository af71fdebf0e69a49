from __future__ import annotations

import os
import threading
from pathlib import Path

from holdall.linux import namelock


def test_names_exclude_each_other_only_when_they_are_the_same(tmp_path: Path) -> None:
    one, two = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    try:
        assert namelock.lock(one, "a", wait=False)
        assert not namelock.lock(two, "a", wait=False)
        assert namelock.lock(two, "b", wait=False)
        waiter = threading.Thread(target=lambda: namelock.lock(two, "a", wait=True))
        waiter.start()
        os.close(one)
        one = -1
        waiter.join(20)
        assert not waiter.is_alive()
    finally:
        os.close(two)
        if one >= 0:
            os.close(one)
