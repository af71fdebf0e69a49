"""Answers that are errors: the codes of distribution-spec "Error Codes", each with the status it goes with."""

from __future__ import annotations

from holdall.oci.jsonval import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DETAIL = 100

STATUS = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 400,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "SIZE_INVALID": 400,
    "TAG_INVALID": 400,
    "RANGE_INVALID": 416,
    "PAGINATION_NUMBER_INVALID": 400,
    "UNAUTHORIZED": 401,
    "DENIED": 403,
    "UNSUPPORTED": 405,
    "TOOMANYREQUESTS": 429,
    "UNKNOWN": 500,
}


class Refusal(Exception):
    """A request we do not fulfil; becomes the answer at the HTTP edge. `close` ends the connection after it."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        detail: object = None,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or STATUS[code]
        self.detail = detail
        self.headers = dict(headers or {})
        self.close = close

    def body(self) -> bytes:
        """The JSON document; a detail that is a list gives one error for each member, a hundred at most."""
        details = self.detail[:MAX_DETAIL] if isinstance(self.detail, list) else [self.detail]
        return dumps({"errors": [self._one(detail) for detail in details or [None]]})

    def _one(self, detail: object) -> dict[str, object]:
        made: dict[str, object] = {"code": self.code, "message": self.message}
        if detail is not None:
            made["detail"] = detail
        return made
