"""SHA-256 of something small without importing `hashlib`, which brings OpenSSL: 4 ms on the path of `run`.

CPython's own module is slower for large data than OpenSSL's, so hash streams by `hashlib`.
"""

from __future__ import annotations

SMALL = 1 << 16


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_make: Callable[[Any], Any] | None = None


def sha256(data: bytes | bytearray | memoryview) -> str:
    """Hex digest of `data`."""
    global _make  # noqa: PLW0603  (a failed import is looked for anew each time)
    if _make is None:
        _make = _found()
    return str(_make(data).hexdigest())


def _found() -> Callable[[Any], Any]:
    try:
        from _sha2 import sha256 as make  # type: ignore[import-not-found]  # CPython 3.12 and newer
    except ImportError:
        try:
            from _sha256 import sha256 as make  # type: ignore[import-not-found]  # CPython 3.11
        except ImportError:
            from hashlib import sha256 as make
    return make  # type: ignore[no-any-return]
