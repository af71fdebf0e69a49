from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.registry.server.access import Access
from holdall.testing.served import served

if TYPE_CHECKING:
    from holdall.testing.served import Server


@pytest.fixture
def access() -> Access:
    """Everybody may do everything; a test file may say otherwise."""
    return Access()


@pytest.fixture
async def server(tmp_path: Path, access: Access) -> AsyncIterator[Server]:
    async with served(str(tmp_path), access) as one:
        yield one
