"""What can be wrong with an upstream, and what its clients are told."""

from __future__ import annotations

import math

from holdall.errors import HoldallError, ManifestUnknown, Unauthorized
from holdall.registry.failures import BadStatus, TooManyRequests, Unreachable
from holdall.registry.server.refusal import Refusal

RETRY_SECONDS = 5.0


class Trouble(Exception):
    """The upstream does not give what it was asked for. `wait` is how many seconds not to ask again."""

    code = "UNKNOWN"
    status = 502

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.wait = wait

    def refusal(self, code: str) -> Refusal:
        """What a client hears; `code` is the one for "there is no such thing"."""
        headers = _retry(self.wait) if isinstance(self, Down) else {}
        return Refusal(self.code or code, self.message, status=self.status, headers=headers)


class Absent(Trouble):
    """There is no such thing upstream."""

    code = ""
    status = 404


class Denied(Absent):
    """The upstream does not let us: our credentials are not good for it, or (so some say it) there is no such thing."""


class Wrong(Trouble):
    """The upstream gave something else than was asked for."""


class Down(Trouble):
    """No answer, or one that says that something is broken there."""

    status = 503


class Limited(Down):
    """The upstream wants a pause."""

    code = "TOOMANYREQUESTS"
    status = 429


def _retry(wait: float) -> dict[str, str]:
    return {"Retry-After": str(max(math.ceil(wait), int(RETRY_SECONDS)))}


def trouble(err: HoldallError, what: str) -> Trouble:
    """An error of our client in these words; `what` names the upstream."""
    message = f"{what}: {err.message}"
    if isinstance(err, TooManyRequests):
        return Limited(message, -1.0 if err.retry_after is None else err.retry_after)
    if isinstance(err, Unreachable):
        return Down(message)
    if isinstance(err, ManifestUnknown) or (isinstance(err, BadStatus) and err.status in (404, 410)):
        return Absent(message)
    if isinstance(err, Unauthorized):
        return Denied(message)
    if isinstance(err, BadStatus) and (err.status >= 500 or err.status == 408):
        return Down(message)
    return Wrong(message)
