"""SHA-2 whose state can be written down, so that another process goes on with it: hashlib's cannot.

OpenSSL's SHA256_CTX and SHA512_CTX are plain structures without pointers, the same since version 0.9.8. Where the
library is not to be had (a Python with OpenSSL built in), `new` gives None and its callers hash once more instead.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_LIBRARIES = ("libcrypto.so.3", "libcrypto.so.1.1")
_KINDS = {"sha256": ("SHA256", 112, 32), "sha512": ("SHA512", 216, 64)}
_FORM = f"{sys.byteorder}1:".encode()
_SAMPLE = bytes(range(200))


def new(algorithm: str, state: bytes = b"") -> Hasher | None:
    """A hash of nothing, or one that goes on from a state; None when this machine cannot, or the state is foreign."""
    if _crypto is None:
        return None
    made = Hasher(_crypto, algorithm)
    return made if not state or made.restore(state) else None


class Hasher:
    """As hashlib's, with `state`."""

    def __init__(self, crypto: ctypes.CDLL, algorithm: str) -> None:
        self.name = algorithm
        kind, size, self._length = _KINDS[algorithm]
        self._context = ctypes.create_string_buffer(size)
        self._update = getattr(crypto, f"{kind}_Update")
        self._final = getattr(crypto, f"{kind}_Final")
        self._check(getattr(crypto, f"{kind}_Init")(self._context))

    def update(self, data: bytes) -> None:
        """Take more bytes in."""
        self._check(self._update(self._context, data, ctypes.c_size_t(len(data))))

    def digest(self) -> bytes:
        """The digest of the bytes so far."""
        found = ctypes.create_string_buffer(self._length)
        self._check(self._final(found, ctypes.create_string_buffer(self._context.raw, len(self._context))))
        return found.raw

    def hexdigest(self) -> str:
        """The digest of the bytes so far, as text."""
        return self.digest().hex()

    def copy(self) -> Self:
        """Another one in the same state."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._context = ctypes.create_string_buffer(self._context.raw, len(self._context))
        return made

    def state(self) -> bytes:
        """What `restore` takes."""
        return _FORM + self._context.raw

    def restore(self, state: bytes) -> bool:
        """Go on from a state; False when it is none of ours."""
        raw = state.removeprefix(_FORM)
        if raw == state or len(raw) != len(self._context):
            return False
        self._context.raw = raw
        return True

    def _check(self, done: int) -> None:
        if done != 1:
            raise RuntimeError(f"libcrypto refuses to compute {self.name}")


def _load() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            crypto = ctypes.CDLL(name)
            if all(_right(crypto, algorithm) for algorithm in _KINDS):
                return crypto
        except (OSError, AttributeError, RuntimeError):
            continue
    return None


def _right(crypto: ctypes.CDLL, algorithm: str) -> bool:
    """Whether it hashes as hashlib does, also over a state that was written down."""
    one, two = Hasher(crypto, algorithm), Hasher(crypto, algorithm)
    one.update(_SAMPLE)
    if not two.restore(one.state()):
        return False
    two.update(_SAMPLE)
    return two.hexdigest() == hashlib.new(algorithm, _SAMPLE * 2, usedforsecurity=False).hexdigest()


_crypto = _load()
