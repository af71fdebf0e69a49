"""Content digests (image-spec descriptor.md#digests): `algorithm:hex`, sha256 and sha512.

`hashlib` is imported where something is hashed: with OpenSSL behind it, it costs the path of `run` 4 ms.
"""

from __future__ import annotations

from holdall.checksum import SMALL, sha256
from holdall.errors import InvalidDigest
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

ALGORITHMS = {"sha256": 64, "sha512": 128}

_HEX = "0123456789abcdef"


@record
class Digest:
    """A digest. `str()` is its text form; `Digest.parse` is the only way from outside text to one."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Parse `sha256:…` or `sha512:…` with lower-case hex of the right length. Raises InvalidDigest."""
        algorithm, _, encoded = text.partition(":")
        if len(encoded) != ALGORITHMS.get(algorithm) or encoded.strip(_HEX):
            raise _invalid(text)
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview, algorithm: str = "sha256") -> Digest:
        """The digest of `data`."""
        if algorithm == "sha256" and len(data) <= SMALL:
            return cls(algorithm, sha256(data))
        import hashlib

        return cls(algorithm, hashlib.new(algorithm, data, usedforsecurity=False).hexdigest())

    @classmethod
    def from_hasher(cls, hasher: _Hash) -> Digest:
        """The digest a hashlib object has reached."""
        return cls(hasher.name, hasher.hexdigest())

    def hasher(self) -> _Hash:
        """A new hashlib object of this digest's algorithm."""
        import hashlib

        return hashlib.new(self.algorithm, usedforsecurity=False)

    @property
    def short(self) -> str:
        """The first twelve hex digits, as shown to people."""
        return self.encoded[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


def _invalid(text: str) -> InvalidDigest:
    shown = ascii(text if len(text) <= 160 else text[:157] + "...")[1:-1]
    algorithm, colon, encoded = text.partition(":")
    if not colon:
        return InvalidDigest(f'invalid digest "{shown}": no algorithm', hint="write it as sha256: and 64 hex digits")
    if algorithm not in ALGORITHMS:
        return InvalidDigest(f'invalid digest "{shown}": unknown algorithm', hint="use sha256 or sha512")
    if len(encoded) != ALGORITHMS[algorithm]:
        return InvalidDigest(
            f'invalid digest "{shown}": {algorithm} has {ALGORITHMS[algorithm]} hex digits, not {len(encoded)}'
        )
    return InvalidDigest(f'invalid digest "{shown}": not lower-case hex digits')
