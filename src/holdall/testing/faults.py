"""What the in-memory registry can be told to do wrong, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Fault:
    """One fault for requests whose method and path match; it disappears after `times` uses (-1: never).

    Kinds: "status" (answer `status`, with `retry_after` if given), "close" (cut the connection before answering),
    "early-close" (promise everything, send `after` bytes, cut), "short" (answer whole, but only `after` bytes),
    "corrupt" (flip a bit of the body), "wrong-digest" (lie in Docker-Content-Digest), "no-range" (ignore Range),
    "stall" (wait `seconds` first), "garbage" (answer 200 with something that is not JSON), "cut-upload" (keep `after`
    bytes of the body of an upload, then cut the connection).
    """

    kind: str
    method: str = "GET"
    path: str = ""
    times: int = 1
    status: int = 503
    retry_after: str | None = None
    after: int = 0
    seconds: float = 0.0


@dataclass
class Faults:
    """The faults still to come; the first that matches a request is used."""

    pending: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        """Plan a fault."""
        self.pending.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, used up by one."""
        for fault in self.pending:
            if fault.method in ("*", method) and fault.path in path and fault.times != 0:
                fault.times -= 1 if fault.times > 0 else 0
                return fault
        return None
