"""Where a registry keeps rows and bytes, as the command line says it; nothing is opened or imported for it."""

from __future__ import annotations

import os

from holdall.errors import InvalidOption
from holdall.record import record

S3 = "s3://"
POSTGRES = ("postgresql://", "postgres://")


@record
class Location:
    """`storage` is a folder or "s3://BUCKET/PREFIX"; `catalog` "" is the same folder, else another or a database's URL.

    `endpoint`, `region` and `addressing` are for the object store; `redirect` sends clients there for blobs. `scratch`
    is a folder of this machine for what only it needs.
    """

    storage: str
    catalog: str = ""
    endpoint: str = ""
    region: str = ""
    addressing: str = "auto"
    redirect: bool = True
    scratch: str = ""

    @property
    def in_bucket(self) -> bool:
        """Whether the bytes are in an object store."""
        return self.storage.startswith(S3)

    @property
    def in_database(self) -> bool:
        """Whether the rows are in PostgreSQL."""
        return self.catalog.startswith(POSTGRES)

    @property
    def together(self) -> bool:
        """Whether rows and bytes are in one folder."""
        return not self.catalog and not self.in_bucket

    @property
    def folder(self) -> str:
        """The folder of this machine for files of its own."""
        if self.scratch:
            return self.scratch
        if not self.in_bucket:
            return self.storage
        if not self.in_database:
            return self.catalog
        import hashlib
        import tempfile

        name = hashlib.sha256(f"{self.storage} {self.catalog}".encode()).hexdigest()[:12]
        return os.path.join(tempfile.gettempdir(), f"holdall-registry-{os.geteuid()}-{name}")

    @property
    def lasting(self) -> bool:
        """Whether that folder is one that somebody named, not one for temporary files."""
        return bool(self.scratch) or not self.in_bucket or not self.in_database

    def check(self) -> None:
        """Refuse what cannot be. Raises InvalidOption."""
        if not self.storage:
            raise InvalidOption("--storage is needed", hint="name a folder, or s3://BUCKET/PREFIX")
        if "://" in self.storage and not self.in_bucket:
            raise InvalidOption(f'--storage is a folder or s3://BUCKET/PREFIX, not "{self.storage}"')
        if "://" in self.catalog and not self.in_database:
            raise InvalidOption("--catalog is a folder or the URL of a PostgreSQL database (postgresql://…)")
        if self.in_bucket and not self.catalog:
            raise InvalidOption(
                "an object store keeps no rows: --catalog is needed",
                hint="give --catalog postgresql://… for several instances, or a folder for one",
            )
