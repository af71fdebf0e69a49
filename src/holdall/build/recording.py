"""The record of a build while it is made: what happened when, and what made which layer from which inputs.

Never part of it: values of secrets, and variables that nothing depends on (proxies).
"""

from __future__ import annotations

import threading
import time

from holdall.build.progress import ENDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.build.progress import BuildEvent, Step
    from holdall.build.running import RunStep
    from holdall.build.state import State
    from holdall.dockerfile.instructions import FileTransfer
    from holdall.oci.digest import Digest
    from holdall.store.build_records import RecordWriter

_TOLD = ("waiting", "started", *ENDS)


class Recorder:
    """A BuildReporter. Without a writer it does nothing. Usable from several threads.

    `images` are the IDs of those the build has stored.
    """

    def __init__(self, writer: RecordWriter | None = None) -> None:
        self.images: list[str] = []
        self._writer = writer
        self._known: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, event: BuildEvent) -> None:
        """Take one event. Raises NoSpace."""
        if self._writer is None or event.action not in (*_TOLD, "output"):
            return
        if event.action == "output":
            with self._lock:
                self._writer.output(event.step.id, event.data)
            return
        now = time.time_ns()
        values: dict[str, Any] = {"status": "running" if event.action == "started" else event.action}
        if event.action == "started":
            values["started"] = now
        elif event.action in ENDS:
            values["ended"] = now
            if event.size:
                values["size"] = event.size
            with self._lock:
                self._writer.step_ended(event.step.id)
        self._tell(event.step, **values)

    def where(self, step: Step) -> str | None:
        """The words that show all of a step's output; None when it is not recorded."""
        return None if self._writer is None else f"holdall builder logs {self._writer.id} {step.id}"

    def _tell(self, step: Step, **values: Any) -> None:
        if self._writer is None:
            return
        with self._lock:
            if step.id not in self._known:
                self._known.add(step.id)
                values = {
                    "stage": step.stage, "number": step.number, "total": step.total, "line": step.line,
                    "platform": step.platform, "kind": step.kind, **values,
                }  # fmt: skip
            self._writer.line({"step": step.id, **values})

    def ended(self, status: str, error: str = "") -> None:
        """The build is over."""
        if self._writer is not None:
            with self._lock:
                end = {"status": status, "ended": time.time_ns(), "images": self.images, "error": error}
                self._writer.line({"end": end})

    def ran(self, step: Step, run: RunStep, facts: object, below: tuple[str, ...]) -> None:
        """A RUN and what its layer depends on."""
        self._tell(step, inputs={
            "kind": "run", "args": run.args, "env": run.env, "working_dir": run.working_dir, "user": run.user,
            "network": run.network, "security": run.security, "script": run.script,
            "mounts": [mount.__dict__ for mount in run.mounts], "facts": facts, "below": below,
        })  # fmt: skip

    def copied(self, step: Step, instruction: FileTransfer, below: tuple[str, ...]) -> None:
        """A COPY or ADD; the key of its layer covers the files' contents."""
        self._tell(step, inputs={
            "kind": instruction.name.lower(), "sources": instruction.sources,
            "from": getattr(instruction, "source", ""), "destination": instruction.destination,
            "chown": instruction.chown, "chmod": instruction.chmod,
            "link": instruction.link, "excludes": instruction.excludes, "below": below,
        })  # fmt: skip

    def based(self, step: Step, digest: Digest) -> None:
        """A base image, by its manifest's digest."""
        self._tell(step, digest=str(digest))

    def keyed(self, step: Step, key: str) -> None:
        """The key of the step's layer."""
        self._tell(step, key=key)

    def made(self, step: Step, state: State) -> None:
        """What the stage has come to with the step."""
        layer = state.layers[-1]
        self._tell(
            step, digest=str(layer.descriptor.digest), diff_id=str(layer.diff_id), stack=state.diff_ids,
            env=[f"{name}={value}" for name, value in state.scope.env.items()], user=state.config.user,
            working_dir=state.config.working_dir or "/", shell=state.shell,
        )  # fmt: skip
