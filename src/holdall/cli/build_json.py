"""Progress of a build for programs: one JSON object a line for each event (docs/build.md says what is in it)."""

from __future__ import annotations

import codecs
import json
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from holdall.build.progress import BuildEvent
    from holdall.cli.build_model import Model


class RawJson:
    """A BuildReporter; `note` prints one line."""

    def __init__(self, model: Model, note: Callable[[str], None]) -> None:
        self._model = model
        self._note = note
        self._offset = time.time() - time.monotonic()
        self._decoders: dict[int, codecs.IncrementalDecoder] = {}

    def __call__(self, event: BuildEvent) -> None:
        """Tell of one event."""
        self._model.apply(event)
        self._note(json.dumps(self._object(event), ensure_ascii=False, separators=(",", ":")))

    def close(self) -> None:
        """Nothing is left to be told."""

    def _object(self, event: BuildEvent) -> dict[str, Any]:
        step = event.step
        made: dict[str, Any] = {
            "time": round(event.time + self._offset, 6),
            "action": event.action,
            "step": {"id": step.id, "kind": step.kind, "line": step.line},
        }
        for name, value in (("stage", step.stage), ("platform", step.platform)):
            if value:
                made["step"][name] = value
        if step.number:
            made["step"].update(number=step.number, total=step.total)
        if event.data:
            made["text"] = self._text(step.id, event.data)
        if event.subject:
            made["subject"] = event.subject
        if event.size:
            made["size"] = event.size
        if event.total:
            made["total"] = event.total
        notice = event.notice
        if notice is not None:
            made["warning"] = {"rule": notice.rule, "message": notice.message, "line": notice.line, "url": notice.url}
        return made

    def _text(self, number: int, data: bytes) -> str:
        decoder = self._decoders.get(number)
        if decoder is None:
            decoder = self._decoders[number] = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(data)
