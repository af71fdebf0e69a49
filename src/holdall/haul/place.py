"""Where an image is or shall be, as `registry copy` and `registry sync` write it.

[docker://]HOST/NAME[:TAG|@DIGEST]    a registry; without HOST it is docker.io
oci:FOLDER[:NAME]                     an OCI image layout
oci-archive:FILE[:NAME]               the same as a tar
docker-archive:FILE[:REFERENCE]       what docker save writes
"""

from __future__ import annotations

from holdall.errors import InvalidOption
from holdall.oci.reference import Reference
from holdall.record import record

REGISTRY, LAYOUT, OCI_ARCHIVE, DOCKER_ARCHIVE = "docker", "oci", "oci-archive", "docker-archive"
FILES = (LAYOUT, OCI_ARCHIVE, DOCKER_ARCHIVE)
_OTHERS = ("dir", "containers-storage", "docker-daemon", "ostree", "sif", "atomic")


@record
class Place:
    """`reference` for a registry; else `path`, and `name` of the image within, "" for the only one."""

    kind: str
    path: str = ""
    name: str = ""
    reference: Reference | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """Parse one place. Raises InvalidOption, InvalidReference."""
        kind, colon, rest = text.partition(":")
        if colon and kind in FILES:
            path, _, name = rest.partition(":")
            if not path:
                raise InvalidOption(f'"{text}" names no file', hint=f"write {kind}:PATH")
            return cls(kind, path, name)
        if colon and kind in _OTHERS:
            raise InvalidOption(f'"{kind}:" is not supported', hint=f"use docker://, {':, '.join(FILES)}:")
        return cls(REGISTRY, reference=Reference.parse(text.removeprefix("docker://")))

    def __str__(self) -> str:
        if self.reference is not None:
            return self.reference.familiar()
        return f"{self.kind}:{self.path}" + (f":{self.name}" if self.name else "")
