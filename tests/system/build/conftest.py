"""What the suites of builds share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdall.testing.building import Workshop


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    """A store with a base image to build on, one for each file of tests."""
    with Workshop() as made:
        yield made
