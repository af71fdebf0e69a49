"""A store with a busybox base image, and builds in it from Dockerfiles given as text."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from holdall.testing.command import CommandStore, busybox_tar, finish
from holdall.testing.supervised import eventually

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class Workshop:
    """A context manager; `context` is a folder that every build gets. Base images: `bb`."""

    def __init__(self, *, driver: str = "") -> None:
        self.folder = tempfile.mkdtemp(prefix="holdall-build-")
        self.context = self.folder + "/context"
        self.store = CommandStore(self.folder, driver=driver)

    def __enter__(self) -> Self:
        os.mkdir(self.context)
        self.store.run("import", busybox_tar(self.folder + "/bb.tar"), "bb")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.store.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def fresh(self, files: Mapping[str, str] | None = None) -> None:
        """Empty the context and put these files there."""
        shutil.rmtree(self.context)
        os.mkdir(self.context)
        for name, text in (files or {}).items():
            path = f"{self.context}/{name}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)

    def write(self, text: str, name: str = "Dockerfile") -> str:
        """Write a Dockerfile, which is no part of the context; its path."""
        path = f"{self.folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path

    def begin(self, text: str, *options: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a build."""
        name = f"Dockerfile-{os.urandom(4).hex()}"
        words = ("build", "--progress", "plain", "-f", self.write(text, name), *options, self.context)
        return self.store.begin(*words, more=more)

    def attempt(
        self, text: str, *options: str, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A build to its end, whatever that is."""
        return finish(self.begin(text, *options, more=more))

    def build(self, text: str, *options: str, more: Mapping[str, str] | None = None) -> str:
        """A build that must succeed; the image's ID."""
        done = self.attempt(text, *options, more=more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def fails(self, text: str, *options: str, more: Mapping[str, str] | None = None) -> str:
        """A build that must fail; what it said on standard error."""
        done = self.attempt(text, *options, more=more)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def shown(self, image: str, *command: str) -> str:
        """What a command in the image prints."""
        return self.store.run("run", "--rm", "--network", "none", image, *command)

    def paths(self, image: str) -> set[str]:
        """All paths of the image's files."""
        return set(self.shown(image, "busybox", "find", "/", "-xdev").split("\n"))

    def rests(self) -> None:
        """Wait until no container is left. Raises AssertionError when one stays."""
        eventually(lambda: self.store.run("ps", "-aq") == "")
