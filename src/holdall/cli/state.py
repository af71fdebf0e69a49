"""What every command gets: the engine (made when first asked for) and the streams it may print to."""

from __future__ import annotations

import os
import sys

from holdall.paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from holdall.engine.engine import Engine
    from holdall.events import Reporter


class State:
    """One invocation of the CLI."""

    def __init__(self, paths: Paths, *, debug: bool = False, storage_driver: str = "") -> None:
        self.paths = paths
        self.debug = debug
        self._storage_driver = storage_driver
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine on the chosen store.

        It is never closed: the process is about to end, and the last connection to close would write SQLite's log
        back into the database, two waits for the disk that the next command with something to write makes anyway.
        """
        if self._engine is None:
            from holdall.engine.engine import Engine

            self._engine = Engine(self.paths.root, self.paths.run_root, storage_driver=self._storage_driver)
            if self.debug:
                self._engine.explain = self.note
        return self._engine

    @property
    def stdout(self) -> TextIO:
        """Where data goes."""
        return sys.stdout

    def print(self, text: str = "") -> None:
        """Print one line of data."""
        sys.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """Print one line that is not data: progress, a warning, a hint."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def progress(self, *, quiet: bool = False) -> Reporter:
        """Return a reporter for long work: bars on a terminal, plain lines elsewhere, nothing when `quiet`."""
        from holdall.events import silent

        if quiet:
            return silent
        from holdall.cli.progress import reporter

        return reporter(sys.stderr)

    @property
    def environ(self) -> dict[str, str]:
        """The caller's environment."""
        return dict(os.environ)
