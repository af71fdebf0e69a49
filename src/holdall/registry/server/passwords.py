"""htpasswd files: who has which password. bcrypt and what else the C library's crypt(3) knows; argon2 by argon2-cffi.

A right password is remembered for as long as the file stays the same, as a keyed hash: bcrypt costs 50 ms of work by
design, and clients send the password with each request.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import hmac
import os
from collections import OrderedDict
from functools import lru_cache

from holdall.errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_FILE = 4 << 20
MAX_USER = 255
MAX_PASSWORD = 1_024
MAX_REMEMBERED = 1_024
CRYPT_DATA = 32_768
MAX_MEMORY = 1 << 20
"""KiB that one argon2 hash may take."""

_BCRYPT = ("$2a$", "$2b$", "$2y$")
_CRYPT = (*_BCRYPT, "$y$", "$7$", "$6$", "$5$")
_ARGON2 = "$argon2"


def parse(text: str, where: str) -> dict[str, str]:
    """Users and their hashes. Raises InvalidInput with the line; weak hashes (MD5, SHA-1, DES) are refused."""
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        user, colon, hashed = line.partition(":")
        if not colon or not user or len(user) > MAX_USER:
            raise InvalidInput(f'"{where}" line {number} is not of the form user:hash')
        if not hashed.startswith((*_CRYPT, _ARGON2)):
            raise InvalidInput(
                f'"{where}" line {number}: the password of "{user}" is not hashed by bcrypt or argon2',
                hint=f"htpasswd -B {where} {user}",
            )
        users[user] = hashed
    return users


class Passwords:
    """The users of one htpasswd file."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = dict(users)
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._nobody = next(iter(self._users.values()), "")

    @classmethod
    def read(cls, path: str) -> Passwords:
        """Read a file. Raises OSError, InvalidInput, Unsupported."""
        with open(path, "rb") as file:
            raw = file.read(MAX_FILE + 1)
        if len(raw) > MAX_FILE:
            raise InvalidInput(f'"{path}" has more than {MAX_FILE} bytes')
        try:
            users = parse(raw.decode(), path)
        except UnicodeDecodeError as err:
            raise InvalidInput(f'"{path}" is not utf-8') from err
        for hashed in users.values():
            _verifier(hashed)
            if hashed.startswith(_ARGON2):
                _check_argon2(hashed, path)
        return cls(users)

    def remembered(self, user: str, password: str) -> bool:
        """Whether this pair was found right before. Quick."""
        return self._mark(user, password) in self._right

    def check(self, user: str, password: str) -> bool:
        """Whether the password is the user's. Slow by design; takes as long for a user that does not exist."""
        if len(password) > MAX_PASSWORD or "\0" in password:
            return False
        hashed = self._users.get(user, self._nobody)
        if not hashed or not _verifier(hashed)(password, hashed) or user not in self._users:
            return False
        self._right[self._mark(user, password)] = None
        while len(self._right) > MAX_REMEMBERED:
            self._right.popitem(last=False)
        return True

    def mark(self, user: str) -> str:
        """Another one when the user's password changes; empty when there is no such user."""
        hashed = self._users.get(user)
        return "" if hashed is None else hashlib.sha256(hashed.encode()).hexdigest()[:24]

    def _mark(self, user: str, password: str) -> bytes:
        text = f"{len(user)}:{user}{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, "sha256")


def _verifier(hashed: str) -> Callable[[str, str], bool]:
    if hashed.startswith(_ARGON2):
        return _argon2
    _libcrypt()
    return _crypt


def _argon2(password: str, hashed: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHash

    try:
        return bool(PasswordHasher().verify(hashed, password))
    except (Argon2Error, InvalidHash):
        return False


def _check_argon2(hashed: str, where: str) -> None:
    """Refuse what would never fit, or take the machine's memory. Raises InvalidInput."""
    from argon2 import extract_parameters
    from argon2.exceptions import InvalidHash

    try:
        memory = extract_parameters(hashed).memory_cost
    except (InvalidHash, ValueError, TypeError) as err:
        raise InvalidInput(f'"{where}" has a malformed argon2 hash') from err
    if memory > MAX_MEMORY:
        raise InvalidInput(f'"{where}" has an argon2 hash that takes {memory >> 10} MiB', hint="use 1 GiB at most")


def _crypt(password: str, hashed: str) -> bool:
    crypt_r = _libcrypt()
    data = ctypes.create_string_buffer(CRYPT_DATA)
    found = crypt_r(password.encode(), hashed.encode(), data)
    return found is not None and hmac.compare_digest(found, hashed.encode())


@lru_cache(maxsize=1)
def _libcrypt() -> Callable[[bytes, bytes, object], bytes | None]:
    for name in ("libcrypt.so.1", "libcrypt.so.2", ctypes.util.find_library("crypt")):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library is not None:
            library.crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
            library.crypt_r.restype = ctypes.c_char_p
            made: Callable[[bytes, bytes, object], bytes | None] = library.crypt_r
            return made
    raise Unsupported("this system has no libcrypt to check passwords with", hint="install libcrypt1")


def fingerprint(path: str) -> str:
    """Changes when a file does; empty when it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    facts = f"{status.st_ino}.{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}"
    return hashlib.sha256(facts.encode()).hexdigest()
