"""What a build needs of the engine: base images, and RUN steps executed as containers."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from holdall.errors import CommandNotExecutable, CommandNotFound, HoldallError, StartError, StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.build.options import BuildOptions
    from holdall.build.running import RunWork
    from holdall.build.stop import Stop
    from holdall.engine.attachment import Attachment
    from holdall.engine.engine import Engine
    from holdall.engine.step_container import StepContainer
    from holdall.events import Reporter
    from holdall.image.image import Image as StoredImage
    from holdall.layer.hashing import Writable

    OnFail = Callable[[StepContainer, StepFailed], None]

READ = 65536
_names: dict[str, threading.Lock] = {}


class StepRunner:
    """A `Runner` (build/build.py). `on_fail` is called, in the step's thread, while a failed step's files are there."""

    def __init__(self, engine: Engine, options: BuildOptions, stop: Stop, on_fail: OnFail | None = None) -> None:
        self._engine = engine
        self._options = options
        self._stop = stop
        self._on_fail = on_fail

    def image(self, name: str, platform: str | None, report: Reporter) -> StoredImage:
        """A base image."""
        pull = "always" if self._options.pull else "missing"
        if name.startswith("sha256:"):
            # what another build has just made
            pull = "never"
        # of two platforms of one image that are missing, the second to come must know of the first
        with _names.setdefault(name, threading.Lock()):
            found = self._engine.images.ensure(name, pull=pull, platform=platform, reporter=report)
        store = self._engine.images.writing
        return store.image(store.get(found.id))

    def run(self, work: RunWork, out: Writable, tell: Callable[[bytes], None]) -> None:
        """Execute a step and write the tar of what it changed."""
        from holdall.engine.step_container import StepContainer

        with StepContainer(self._engine, work, self._options, self._stop) as step:
            try:
                attachment = step.open()
            except (CommandNotFound, CommandNotExecutable) as err:
                raise self._failed(step, err.message, err.exit_code) from err
            except StartError as err:
                # as an unknown user: a shell could not be started either
                raise StepFailed(err.message, code=err.exit_code, hint=err.hint) from err
            with attachment:
                with self._stop.calling(step.kill):
                    code = _relayed(attachment, tell, step.kill)
                self._stop.check()
                if code != 0:
                    raise self._failed(step, f"the command ended with exit code {code}", code or 1)
                step.write(out)
                step.remove(attachment)

    def _failed(self, step: StepContainer, message: str, code: int) -> StepFailed:
        error = StepFailed(message, code=code)
        if self._on_fail is not None:
            self._on_fail(step, error)
        return error


def _relayed(attachment: Attachment, tell: Callable[[bytes], None], kill: Callable[[], None]) -> int | None:
    """Pass the output on as it comes; the exit code. When `tell` raises, the command is killed, and that is raised."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    failed: list[BaseException] = []

    def pump() -> None:
        while data := os.read(reader, READ):
            try:
                if not failed:
                    tell(data)
            except BaseException as err:  # noqa: BLE001  (raised by the thread that waits; the pipe must not fill)
                failed.append(err)
                with suppress(HoldallError, OSError):
                    kill()

    thread = threading.Thread(target=pump, name="output")
    thread.start()
    try:
        attachment.relay(stdin=None, stdout=writer, stderr=writer)
        code = attachment.wait()
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
    if failed:
        raise failed[0]
    return code
