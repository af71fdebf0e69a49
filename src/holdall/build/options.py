"""What a build is told."""

from __future__ import annotations

import os

from holdall.build.limits import Limits
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, BinaryIO

    from holdall.build.annotating import Annotation
    from holdall.build.cache_options import CacheOption
    from holdall.build.outputs import Output
    from holdall.build.secrets import Secret

    class PathText:
        """A path: given as str or PathLike, kept as str."""

        def __get__(self, instance: object, owner: Any) -> str: ...
        def __set__(self, instance: object, value: str | os.PathLike[str]) -> None: ...

    NO_PATH = PathText()
else:
    NO_PATH = ""


@record
class BuildOptions:
    """One build. `context` is a folder, the address of a git repository or an archive, "-" for what is in `stdin`, ""
    for none; `contexts` are named ones (--build-context). `dockerfile` is a path, "-" with the text in `text`.

    `secrets` are by id; `ssh` maps an id to sockets of agents or files of keys, () for $SSH_AUTH_SOCK; `allow` are
    entitlements as buildx has them (network.host, security.insecure, device[=NAME]). `epoch` (seconds) is the time of
    everything, by default a fixed one; `committed` is when the commit was made that the context is at, for the time of
    the image itself. `jobs` RUN commands are under way at once, 0 for two a processor. Steps of
    the stages in `no_cache_filter` (names or numbers) are made anew.
    """

    context: PathText
    dockerfile: PathText = NO_PATH
    text: bytes | None = None
    stdin: BinaryIO | None = None
    contexts: Mapping[str, str] = {}
    tags: tuple[str, ...] = ()
    target: str = ""
    build_args: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    platforms: tuple[str, ...] = ()
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: bool = False
    network: str = "default"
    secrets: Mapping[str, Secret] = {}
    ssh: Mapping[str, tuple[str, ...]] = {}
    allow: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    cache_from: tuple[CacheOption, ...] = ()
    cache_to: tuple[CacheOption, ...] = ()
    epoch: int | None = None
    committed: int | None = None
    jobs: int = 0
    limits: Limits = Limits()

    @property
    def platform(self) -> str | None:
        """The first platform asked for, None for this machine's."""
        return self.platforms[0] if self.platforms else None

    def __post_init__(self) -> None:
        self.__dict__["context"] = os.fspath(self.context)
        self.__dict__["dockerfile"] = os.fspath(self.dockerfile)
