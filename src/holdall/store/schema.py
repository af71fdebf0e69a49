"""The database's schema, one migration per version. Imported only when a store is new or older than this Holdall.

Times are nanoseconds since the epoch; digests and image IDs are text with their algorithm; lists of diff-ids are
separated by spaces, base layer first; labels are JSON objects.
"""

from __future__ import annotations

VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE images (
        id TEXT PRIMARY KEY,
        manifest TEXT NOT NULL,
        os TEXT NOT NULL, architecture TEXT NOT NULL, variant TEXT NOT NULL,
        created INTEGER NOT NULL,
        stored INTEGER NOT NULL,
        size INTEGER NOT NULL,
        parent TEXT NOT NULL,
        labels TEXT NOT NULL,
        layers TEXT NOT NULL)""",
    "CREATE INDEX images_parent ON images (parent)",
    """CREATE TABLE manifests (
        digest TEXT PRIMARY KEY,
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        listed TEXT NOT NULL,
        listed_size INTEGER NOT NULL)""",
    "CREATE INDEX manifests_image ON manifests (image)",
    """CREATE TABLE parts (
        manifest TEXT NOT NULL REFERENCES manifests (digest) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (manifest, digest)) WITHOUT ROWID""",
    "CREATE INDEX parts_digest ON parts (digest)",
    """CREATE TABLE names (
        name TEXT PRIMARY KEY,
        repository TEXT NOT NULL,
        tag TEXT NOT NULL,
        target TEXT NOT NULL,
        manifest TEXT NOT NULL REFERENCES manifests (digest),
        image TEXT NOT NULL REFERENCES images (id))""",
    "CREATE INDEX names_image ON names (image)",
    "CREATE INDEX names_manifest ON names (manifest)",
    "CREATE INDEX names_target ON names (target)",
    "CREATE TABLE layers (diff_id TEXT PRIMARY KEY, size INTEGER NOT NULL, entries INTEGER NOT NULL)",
    """CREATE TABLE containers (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        image TEXT NOT NULL,
        reference TEXT NOT NULL,
        layers TEXT NOT NULL,
        created INTEGER NOT NULL,
        labels TEXT NOT NULL,
        config TEXT NOT NULL)""",
    "CREATE INDEX containers_image ON containers (image)",
    """CREATE TABLE networks (
        name TEXT PRIMARY KEY,
        driver TEXT NOT NULL,
        created INTEGER NOT NULL,
        labels TEXT NOT NULL,
        plan TEXT NOT NULL)""",
    """CREATE TABLE leases (
        network TEXT NOT NULL,
        address TEXT NOT NULL,
        container TEXT NOT NULL,
        PRIMARY KEY (network, address)) WITHOUT ROWID""",
    "CREATE INDEX leases_container ON leases (container)",
    """CREATE TABLE volumes (
        name TEXT PRIMARY KEY,
        created INTEGER NOT NULL,
        anonymous INTEGER NOT NULL,
        labels TEXT NOT NULL)""",
    """CREATE TABLE container_volumes (
        container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
        volume TEXT NOT NULL REFERENCES volumes (name),
        PRIMARY KEY (container, volume)) WITHOUT ROWID""",
    "CREATE INDEX container_volumes_volume ON container_volumes (volume)",
    "CREATE TABLE holds (holder TEXT NOT NULL, subject TEXT NOT NULL, PRIMARY KEY (holder, subject)) WITHOUT ROWID",
    "CREATE INDEX holds_subject ON holds (subject)",
)
"""Version 1. `names.target` is what the name was resolved to (an index or a manifest), `names.manifest` the chosen
platform's manifest. `manifests.listed` is what index.json shows for it: itself, or its twin with OCI media types when
it is Docker's, since readers of image layouts pass Docker's over. `parts` lists every blob a manifest needs. `holds`
names blobs and layers (`layer:<diff-id>`) that work under way relies on before a row refers to them (see holds.py)."""

VERSION_2 = (
    """CREATE TABLE compressed (
        digest TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        recipe TEXT NOT NULL DEFAULT '',
        used INTEGER NOT NULL)""",
    "CREATE INDEX compressed_diff_id ON compressed (diff_id)",
    """CREATE TABLE origins (
        digest TEXT NOT NULL,
        repository TEXT NOT NULL,
        seen INTEGER NOT NULL,
        PRIMARY KEY (digest, repository)) WITHOUT ROWID""",
    """CREATE TABLE uploads (
        digest TEXT NOT NULL,
        repository TEXT NOT NULL,
        location TEXT NOT NULL,
        started INTEGER NOT NULL,
        PRIMARY KEY (digest, repository)) WITHOUT ROWID""",
)
"""Version 2. `compressed`: this blob decompresses to this diff-id, and by `recipe` (recipes.py; "" when unknown) it can
be made again. `origins`: this repository of a registry has this blob. `uploads`: where an interrupted push goes on."""

VERSION_3 = (
    """CREATE TABLE build_cache (
        key TEXT PRIMARY KEY,
        diff_id TEXT NOT NULL,
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        blob_size INTEGER NOT NULL,
        what TEXT NOT NULL,
        size INTEGER NOT NULL,
        created INTEGER NOT NULL,
        used INTEGER NOT NULL)""",
    """CREATE TABLE file_digests (
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime INTEGER NOT NULL,
        ctime INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (device, inode)) WITHOUT ROWID""",
)
"""Version 3. `build_cache`: the layer that the build step with this key made (build/keys.py), and the blob a manifest
names for it. `file_digests`: contents of files of build contexts, good while stat(2) says the same."""

VERSION_4 = (
    """CREATE TABLE members (
        target TEXT NOT NULL,
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        manifest TEXT NOT NULL,
        PRIMARY KEY (target, image)) WITHOUT ROWID""",
    "CREATE INDEX members_image ON members (image)",
    "ALTER TABLE build_cache ADD COLUMN uses INTEGER NOT NULL DEFAULT 1",
    """CREATE TABLE cache_mounts (
        name TEXT PRIMARY KEY,
        id TEXT NOT NULL,
        created INTEGER NOT NULL,
        used INTEGER NOT NULL,
        uses INTEGER NOT NULL,
        exported TEXT NOT NULL DEFAULT '')""",
)
"""Version 4. `members`: this image, by this manifest of it, is one platform of the index `target`. `build_cache.uses`:
how often the layer was of use. `cache_mounts`: the folders of RUN --mount=type=cache, their names and what an export of
them came to."""

VERSION_5 = (
    """CREATE TABLE step_keys (
        stamp TEXT PRIMARY KEY,
        key TEXT NOT NULL,
        used INTEGER NOT NULL) WITHOUT ROWID""",
)
"""Version 5. `step_keys`: a build step whose sources look like this to stat(2) has this key in `build_cache`, "" when
it makes no layer."""

VERSION_6 = ("ALTER TABLE cache_mounts ADD COLUMN size INTEGER NOT NULL DEFAULT 0",)
"""Version 6. `cache_mounts.size`: bytes on disk after the last build that executed a step with the folder."""

MIGRATIONS = (VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6)
