"""What aiohttp has to say about connections: requests that are no HTTP are counted, the rest is a failure of ours."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.registry.server.meters import Meters


class _Sorter(logging.Handler):
    """Tells the two apart: whoever sends rubbish must not fill the log."""

    def __init__(self, meters: Meters, complain: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._meters = meters
        self._complain = complain

    def emit(self, record: logging.LogRecord) -> None:
        err = record.exc_info[1] if record.exc_info else None
        if isinstance(err, HttpProcessingError):
            self._meters.add("malformed_requests")
        else:
            self._complain(record.getMessage() + (f": {type(err).__name__}: {err}" if err is not None else ""))


def logger(meters: Meters, complain: Callable[[str], None]) -> logging.Logger:
    """The logger for this process's `web.Server`."""
    made = logging.getLogger("holdall.registry.server")
    made.propagate = False
    made.handlers = [_Sorter(meters, complain)]
    return made
