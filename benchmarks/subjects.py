"""The images that are moved: a Debian root in one layer, the same in ten, and 60,000 small files. Made here."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile

PACKAGES = "python3,python3-pip,ca-certificates,perl"
SUITE = "bookworm"
LAYERS = 10
SMALL_FILES = 60_000
FOLDERS = 600
LEVEL = "-6"


def debian_tar(folder: str) -> str:
    """A Debian root with Python, made from the package mirror once and kept in `folder`."""
    path = f"{folder}/debian.tar"
    if not os.path.exists(path):
        command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, path + ".part"]
        subprocess.run([*command[:-1], "--format=tar", command[-1]], check=True, stderr=subprocess.DEVNULL)
        os.rename(path + ".part", path)
    return path


def split_tars(path: str, folder: str, count: int = LAYERS) -> list[str]:
    """The entries of a tar dealt out to `count` tars by size; a hard link goes where its target went."""
    names = [f"{folder}/part{number}.tar" for number in range(count)]
    if all(map(os.path.exists, names)):
        return names
    outs = [tarfile.open(name, "w", format=tarfile.PAX_FORMAT) for name in names]
    filled = [0] * count
    went: dict[str, int] = {}
    with tarfile.open(path) as source:
        for member in source:
            number = went[member.linkname] if member.islnk() else filled.index(min(filled))
            went[member.name] = number
            filled[number] += member.size + 512
            outs[number].addfile(member, source.extractfile(member) if member.isreg() else None)
    for out in outs:
        out.close()
    return names


def small_files_tar(folder: str, count: int = SMALL_FILES) -> str:
    """Many files of up to 2 KiB, as in a tree of JavaScript packages."""
    path = f"{folder}/small.tar"
    if os.path.exists(path):
        return path
    dice = random.Random(1)
    with tarfile.open(path + ".part", "w", format=tarfile.PAX_FORMAT) as out:
        for number in range(count):
            member = tarfile.TarInfo(f"app/node_modules/package{number % FOLDERS}/lib/file{number}.js")
            data = (f"module.exports = {number};\n".encode() + dice.randbytes(64).hex().encode()) * dice.randrange(
                1, 12
            )
            member.size, member.mtime, member.mode = len(data), 1_700_000_000, 0o644
            out.addfile(member, io.BytesIO(data))
    os.rename(path + ".part", path)
    return path


class Layout:
    """An OCI image layout of one image with gzip layers, for skopeo to push."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder + "/blobs/sha256", exist_ok=True)

    def make(self, tars: list[str]) -> None:
        """Compress the tars with gzip and write the documents."""
        layers = [self._layer(tar) for tar in tars]
        diff_ids = ["sha256:" + digest_of(tar) for tar in tars]
        config = self._document(
            {
                "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": [{"created_by": os.path.basename(tar)} for tar in tars],
            }
        )  # fmt: skip
        config["mediaType"] = "application/vnd.oci.image.config.v1+json"
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = self._document({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers})
        index = {"schemaVersion": 2, "manifests": [{**manifest, "mediaType": kind}]}
        self._write("index.json", json.dumps(index).encode())
        self._write("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')

    def _layer(self, tar: str) -> dict[str, object]:
        part = self.folder + "/part"
        with open(tar, "rb") as source, open(part, "wb") as out:
            subprocess.run(["gzip", LEVEL, "-n"], stdin=source, stdout=out, check=True)
        name = digest_of(part)
        size = os.stat(part).st_size
        os.rename(part, f"{self.folder}/blobs/sha256/{name}")
        return {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + name, "size": size}

    def _document(self, value: object) -> dict[str, object]:
        raw = json.dumps(value).encode()
        name = hashlib.sha256(raw).hexdigest()
        self._write("blobs/sha256/" + name, raw)
        return {"digest": "sha256:" + name, "size": len(raw)}

    def _write(self, name: str, raw: bytes) -> None:
        with open(f"{self.folder}/{name}", "wb") as file:
            file.write(raw)


def digest_of(path: str) -> str:
    """sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def subjects(folder: str) -> dict[str, str]:
    """Name to OCI layout of all images; made once in `folder`."""
    os.makedirs(folder, exist_ok=True)
    found = {}
    debian = debian_tar(folder)
    for name, tars in (
        ("one layer", lambda: [debian]),
        ("ten layers", lambda: split_tars(debian, folder)),
        ("60,000 files", lambda: [small_files_tar(folder)]),
    ):
        path = f"{folder}/{name.replace(' ', '-').replace(',', '')}"
        if not os.path.exists(path + "/index.json"):
            shutil.rmtree(path, ignore_errors=True)
            Layout(path).make(tars())
        found[name] = path
    return found
