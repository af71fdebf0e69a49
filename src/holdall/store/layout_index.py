"""index.json and oci-layout in the store's root: they make it an OCI image layout that skopeo and umoci can read.

A derived view of the database: rewritten after each change of names, again by `gc` if a crash came in between. It
lists manifests, not indexes: of a multi-platform image only one platform's blobs are here, and readers that walk an
index would stumble over the others. For Docker's manifests it lists twins with OCI media types, as readers of image
layouts pass Docker's over.
"""

from __future__ import annotations

import json
import os

from holdall.store import durable, locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.paths import Paths
    from holdall.store.database import Database

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def refresh(database: Database, paths: Paths) -> bool:
    """Rewrite index.json if it is not as the database says; False when the disk refused (`doctor` tells of it)."""
    try:
        with locks.acquire(_lock_path(paths)) as lock:
            data = render(database)
            if current(paths) != data:
                if not os.path.exists(f"{paths.root}/oci-layout"):
                    durable.write_file(f"{paths.root}/oci-layout", LAYOUT, mode=0o644)
                durable.write_file(f"{paths.root}/index.json", data, mode=0o644)
            lock.remove()
    except OSError:
        return False
    return True


def current(paths: Paths) -> bytes:
    """The index.json there is; nothing when there is none."""
    try:
        with open(f"{paths.root}/index.json", "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""


def render(database: Database) -> bytes:
    """index.json as the database says: each tag under its full name; images without tag once, without name."""
    rows = database.all(
        """SELECT listed, listed_size, media_type, listed = digest, os, architecture, variant, names.name
        FROM names JOIN manifests ON manifests.digest = names.manifest JOIN images ON images.id = names.image
        WHERE names.tag != '' ORDER BY names.name"""
    )
    rows += database.all(
        """SELECT listed, listed_size, media_type, listed = digest, os, architecture, variant, ''
        FROM images JOIN manifests ON manifests.digest = images.manifest
        WHERE NOT EXISTS (SELECT 1 FROM names WHERE names.image = images.id AND names.tag != '')
        ORDER BY images.id"""
    )
    tree = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [_entry(*row) for row in rows]}
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()


def _entry(
    digest: str, size: int, media_type: str, own: int, system: str, architecture: str, variant: str, name: str
) -> dict[str, object]:
    platform = {"architecture": architecture, "os": system}
    if variant:
        platform["variant"] = variant
    entry: dict[str, object] = {"mediaType": media_type if own else MANIFEST_TYPE, "digest": digest, "size": size}
    if name:
        entry["annotations"] = {CONTAINERD_NAME: name, REF_NAME: name}
    return {**entry, "platform": platform}


def leftovers(paths: Paths, *, remove: bool) -> list[tuple[str, int]]:
    """Temp files a killed `refresh` left in the root, with their bytes; none while another process is at it."""
    lock = locks.attempt(_lock_path(paths))
    if lock is None:
        return []
    found = []
    try:
        for name in sorted(os.listdir(paths.root)):
            if name.endswith(".tmp"):
                path = f"{paths.root}/{name}"
                found.append((path, os.stat(path).st_size))
                if remove:
                    os.unlink(path)
    finally:
        lock.remove()
    return found


def _lock_path(paths: Paths) -> str:
    return f"{paths.ingest}/index.lock"
