"""What `holdall pack` can be told besides its programs."""

from __future__ import annotations

import os
import re

from holdall.errors import InvalidOption
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_EPOCH = (1 << 33) - 1
"""Seconds: as far as an ustar header can tell time."""

COMPRESSIONS = ("gzip", "zstd", "none")
_PORT = r"(\d{1,5})(?:/(tcp|udp|sctp))?"


@record
class Added:
    """A file or tree to copy as it is: `source` on this machine, `dest` in the image (into it when it ends in "/")."""

    source: str
    dest: str

    @classmethod
    def parse(cls, text: str) -> Added:
        """Parse SRC:DEST; the last colon divides. Raises InvalidOption."""
        source, colon, dest = text.rpartition(":")
        if not colon or not source or not dest:
            raise InvalidOption(
                f'invalid --add "{text}"', hint="write --add SOURCE:DESTINATION, for example ./app:/srv/app"
            )
        return cls(source, dest)


@record
class PackOptions:
    """Options of `pack`. None for `entrypoint` means the first program; `epoch` is every file's time in seconds
    since 1970, None for $SOURCE_DATE_EPOCH, else 0. `bytecode` adds Python's compiled modules.
    """

    add: tuple[Added, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    labels: Mapping[str, str] = {}
    expose: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    compression: str = "gzip"
    epoch: int | None = None
    bytecode: bool = True


def checked(options: PackOptions) -> PackOptions:
    """Return `options` if they make sense, else raise InvalidOption."""
    for one in options.env:
        if not one.partition("=")[0] or "\0" in one:
            raise InvalidOption(f'invalid --env "{one}"', hint="write --env NAME=VALUE")
    for one in options.expose:
        match = re.fullmatch(_PORT, one)
        if match is None or not 0 < int(match[1]) < 65_536:
            raise InvalidOption(f'invalid --expose "{one}"', hint="write --expose PORT[/tcp|udp|sctp]")
    for path in (options.working_dir, *options.volumes):
        if path and not path.startswith("/"):
            raise InvalidOption(f'"{path}" must be an absolute path')
    if options.compression not in COMPRESSIONS:
        raise InvalidOption(f'unknown compression "{options.compression}"', hint=f"use {', '.join(COMPRESSIONS)}")
    return options


def ports(options: PackOptions) -> tuple[str, ...]:
    """Exposed ports as an image configuration has them: "80/tcp"."""
    return tuple(sorted({one if "/" in one else f"{one}/tcp" for one in options.expose}))


def epoch_of(options: PackOptions, environ: Mapping[str, str] | None = None) -> int:
    """Seconds since 1970 for every file and the image itself. Raises InvalidOption."""
    if options.epoch is not None:
        value, origin = options.epoch, "the time"
    else:
        text = (os.environ if environ is None else environ).get("SOURCE_DATE_EPOCH", "").strip() or "0"
        if not re.fullmatch(r"[0-9]{1,12}", text):
            raise InvalidOption(f'SOURCE_DATE_EPOCH is "{text}", not a number of seconds')
        value, origin = int(text), "SOURCE_DATE_EPOCH"
    if not 0 <= value <= MAX_EPOCH:
        raise InvalidOption(f"{origin} must be between 0 and {MAX_EPOCH} seconds")
    return value
