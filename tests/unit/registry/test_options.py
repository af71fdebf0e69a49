from __future__ import annotations

import os

import pytest

from holdall.errors import InvalidOption
from holdall.registry.options import MAX_CONCURRENCY, MIN_CHUNK, Options


@pytest.mark.parametrize(
    "values",
    [
        {"concurrency": 0},
        {"concurrency": MAX_CONCURRENCY + 1},
        {"retries": -1},
        {"upload_chunk": MIN_CHUNK - 1},
    ],
)
def test_nonsense_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(InvalidOption):
        Options(**values)  # type: ignore[arg-type]


def test_the_environment_is_this_process_or_given() -> None:
    assert Options().environment is os.environ
    assert Options(environ={"HOME": "/x"}).environment == {"HOME": "/x"}


def test_some_registries_need_no_right_certificate() -> None:
    assert Options(lax=("a",)).verifies("b")
    assert not Options(lax=("a",)).verifies("a")
    assert not Options(tls_verify=False).verifies("b")
