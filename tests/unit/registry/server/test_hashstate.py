from __future__ import annotations

import hashlib

import pytest

from holdall.registry.server import hashstate

pytestmark = pytest.mark.skipif(hashstate.new("sha256") is None, reason="no libcrypto to be loaded")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_hash_goes_on_from_its_state_wherever_it_was_cut(algorithm: str) -> None:
    data = bytes(range(256)) * 3
    wanted = hashlib.new(algorithm, data).hexdigest()
    for cut in (0, 1, 63, 64, 65, 127, 128, 129, 500, len(data)):
        first = hashstate.new(algorithm)
        assert first is not None
        first.update(data[:cut])
        second = hashstate.new(algorithm, first.state())
        assert second is not None
        second.update(data[cut:])
        assert second.hexdigest() == second.hexdigest() == wanted
        first.update(data[cut:])
        assert first.hexdigest() == wanted


def test_a_copy_goes_its_own_way() -> None:
    one = hashstate.new("sha256")
    assert one is not None
    one.update(b"a")
    two = one.copy()
    two.update(b"b")
    assert one.hexdigest() == hashlib.sha256(b"a").hexdigest()
    assert two.hexdigest() == hashlib.sha256(b"ab").hexdigest()


def test_foreign_states_are_refused() -> None:
    one = hashstate.new("sha256")
    assert one is not None
    for state in (b"x", one.state()[:-1], one.state()[1:], b"other1:" + bytes(112)):
        assert hashstate.new("sha256", state) is None
    assert hashstate.new("sha512", one.state()) is None
