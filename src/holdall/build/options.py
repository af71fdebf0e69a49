"""What a build is told."""

from __future__ import annotations

import os

from holdall.build.limits import Limits
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from holdall.build.annotating import Annotation
    from holdall.build.cache_options import CacheOption
    from holdall.build.outputs import Output

    class PathText:
        """A path: given as str or PathLike, kept as str."""

        def __get__(self, instance: object, owner: Any) -> str: ...
        def __set__(self, instance: object, value: str | os.PathLike[str]) -> None: ...

    NO_PATH = PathText()
else:
    NO_PATH = ""


@record
class BuildOptions:
    """One build. `context` is a folder, "" for none; `dockerfile` a path, "-" with the text in `text`.

    `secrets` maps an id to the file that holds it; `epoch` is in seconds, None for what the context says. `jobs` RUN
    commands are under way at once, 0 for as many as there are processors. Steps of the stages in `no_cache_filter`
    (names or numbers) are made anew.
    """

    context: PathText
    dockerfile: PathText = NO_PATH
    text: bytes | None = None
    tags: tuple[str, ...] = ()
    target: str = ""
    build_args: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    platforms: tuple[str, ...] = ()
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: bool = False
    network: str = "default"
    secrets: Mapping[str, str] = {}
    outputs: tuple[Output, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    cache_from: tuple[CacheOption, ...] = ()
    cache_to: tuple[CacheOption, ...] = ()
    epoch: int | None = None
    jobs: int = 0
    limits: Limits = Limits()

    @property
    def platform(self) -> str | None:
        """The first platform asked for, None for this machine's."""
        return self.platforms[0] if self.platforms else None

    def __post_init__(self) -> None:
        self.__dict__["context"] = os.fspath(self.context)
        self.__dict__["dockerfile"] = os.fspath(self.dockerfile)
