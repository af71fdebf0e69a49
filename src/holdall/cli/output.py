"""A file to write, whole or not at all; or standard output, unless that is a terminal."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from holdall.engine.output_file import whole_file
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


@contextmanager
def binary_output(path: str | None, what: str) -> Iterator[BinaryIO]:
    """Give a stream to write to. A file appears under its name only when the block ends well."""
    if path is None:
        if os.isatty(1):
            raise InvalidOption(
                f"cowardly refusing to write {what} to a terminal", hint="use --output FILE, or redirect"
            )
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with whole_file(path) as file:
        yield file
