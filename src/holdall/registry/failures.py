"""What a registry's answer or silence means as an exception (distribution-spec "Error Codes").

Text from the outside is cut and escaped before it goes into a message.
"""

from __future__ import annotations

import json

from holdall.errors import ManifestUnknown, RateLimited, RegistryError, Unauthorized

MAX_SHOWN = 300
MAX_ERRORS = 3

_UNKNOWN = ("MANIFEST_UNKNOWN", "NAME_UNKNOWN")


class Unreachable(RegistryError):
    """No answer, or half of one. `kind` says what went wrong on the way.

    connect: no connection; tls: no handshake; certificate: not trusted; lost: broken off; short: ended early;
    timeout: no answer in time; protocol: not HTTP.
    """

    def __init__(self, message: str, kind: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


class BadStatus(RegistryError):
    """An HTTP status that stands for no error of its own class; `status` is the number."""

    def __init__(self, message: str, status: int, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class TooManyRequests(RateLimited):
    """The registry asks for a pause of `retry_after` seconds, None when it does not say how long."""

    def __init__(self, message: str, retry_after: float | None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


def shown(text: str) -> str:
    """`text` from the outside as it may stand in a message: escaped, one line, bounded."""
    plain = ascii(text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "...")
    return plain[1:-1].replace("\\'", "'")


def details(body: bytes) -> tuple[tuple[str, str], ...]:
    """(code, message) pairs of an error body; empty when it is not one."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    errors = decoded.get("errors") if isinstance(decoded, dict) else None
    if not isinstance(errors, list):
        single = decoded.get("details") or decoded.get("message") if isinstance(decoded, dict) else None
        return (("", shown(single)),) if isinstance(single, str) and single else ()
    found = []
    for one in errors[:MAX_ERRORS]:
        if isinstance(one, dict):
            code, message = one.get("code"), one.get("message")
            pair = (code if isinstance(code, str) else "", shown(message) if isinstance(message, str) else "")
            if any(pair):
                found.append(pair)
    return tuple(found)


def from_answer(status: int, body: bytes, host: str, *, retry_after: float | None = None) -> RegistryError:
    """The exception for an error answer of `host`."""
    found = details(body)
    codes = [code for code, _ in found]
    said = "; ".join(message or shown(code).lower().replace("_", " ") for code, message in found)
    if status == 429 or "TOOMANYREQUESTS" in codes:
        return _rate_limited(host, said, retry_after)
    if status in (401, 403) or "UNAUTHORIZED" in codes or "DENIED" in codes:
        return _refused(status, host, said, codes)
    if status == 404 and (not codes or any(code in _UNKNOWN for code in codes)):
        return ManifestUnknown(said or f'not found at "{host}"', hint="check the name and the tag")
    return BadStatus(f'registry "{host}" answered {status}' + (f": {said}" if said else ""), status)


def _rate_limited(host: str, said: str, retry_after: float | None) -> RateLimited:
    wait = f"try again in {retry_after:.0f} s" if retry_after else "try again later"
    return TooManyRequests(
        f'registry "{host}" allows no more requests for now' + (f": {said}" if said else ""),
        retry_after,
        hint=f'{wait}, or log in with "holdall login {host}" for a higher limit',
    )


def _refused(status: int, host: str, said: str, codes: list[str]) -> Unauthorized:
    what = "denies access" if status == 403 or "DENIED" in codes else "wants other credentials"
    return Unauthorized(
        f'registry "{host}" {what}' + (f": {said}" if said else ""),
        hint=f'check the name, or log in with "holdall login {host}"',
    )
