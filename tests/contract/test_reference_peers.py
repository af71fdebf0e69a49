"""References mean what skopeo (containers/image) says they mean; it writes the full name into a docker-archive.

Left out: bracketed IPv6 hosts and upper-case hosts without a dot, which Debian's skopeo is too old for, and hosts
such as "a_b.c", which distribution/reference takes for a name without a host and which we refuse.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from holdall.errors import HoldallError
from holdall.image.mutate import from_layers
from holdall.oci.platform import Platform
from holdall.oci.reference import Reference

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed"),
]

HEX = "0123456789abcdef" * 4
TEXTS = [
    "debian",
    "debian:12",
    "user/app:1.0-rc_2",
    "library/debian",
    "library/a/b",
    "index.docker.io/debian",
    "docker.io/user/x",
    "localhost/x",
    "localhost:5000/x:t",
    "My.Host/app",
    "a.b/c__d/e-f---g",
    HEX,
    HEX + ":t",
    HEX[:63],
    "Debian",
    "user/App",
    "a__b",
    "a___b",
    "a..b",
    "a.-b",
    "-a",
    "a-",
    "a/",
    "a//b",
    "a b",
    "a:",
    "a:-t",
    "a:" + "t" * 128,
    "a:" + "t" * 129,
    "host:port/x",
    "-a.b/x",
    "é",
    "https://docker.io/x",
]


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `dir:` image without layers, the least that skopeo copies."""
    folder = tmp_path_factory.mktemp("image")

    image = from_layers(
        Platform("linux", "amd64"), [], media_type="application/vnd.docker.distribution.manifest.v2+json"
    )
    (folder / "manifest.json").write_bytes(image.manifest.raw)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / image.config.digest.encoded).write_bytes(image.config.raw)
    return folder


@pytest.mark.parametrize("text", TEXTS)
def test_same_full_name_or_same_refusal(layout: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "out.tar"
    command = ["skopeo", "--insecure-policy", "copy", "-q", f"dir:{layout}", f"docker-archive:{out}:{text}"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        ours = str(Reference.parse(text))
    except HoldallError:
        assert done.returncode != 0, "skopeo takes it"
        assert "reference" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    with tarfile.open(out) as archive:
        listed = archive.extractfile("manifest.json")
        assert listed is not None
        assert json.load(listed)[0]["RepoTags"] == [ours]
