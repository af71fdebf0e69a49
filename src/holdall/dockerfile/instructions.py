"""The instructions as typed values. Every one knows its keyword as written, its text, place and comments above it."""

from __future__ import annotations

from holdall.dockerfile.device import Device
from holdall.dockerfile.heredoc import Heredoc
from holdall.dockerfile.location import Location
from holdall.dockerfile.mount import Mount
from holdall.record import record


@record
class Instruction:
    """What all instructions have. `text` is the source with continuation lines joined, without heredoc bodies."""

    keyword: str
    text: str
    location: Location
    comments: tuple[str, ...]

    @property
    def name(self) -> str:
        """The keyword in capitals."""
        return self.keyword.upper()

    @property
    def line(self) -> str:
        """The text in one line."""
        return " ".join(self.text.split())


@record
class ArgDefinition:
    """One name of an ARG; `default` is None when none is given, `description` comes from the comment above."""

    name: str
    default: str | None = None
    description: str = ""


@record
class NameValue:
    """A pair of ENV or LABEL; `legacy` when written with a blank in place of "="."""

    name: str
    value: str
    legacy: bool = False


@record
class CommandLine:
    """What RUN, CMD and ENTRYPOINT run. In shell form `arguments` is one string, for the stage's shell to read."""

    arguments: tuple[str, ...]
    is_shell: bool
    heredocs: tuple[Heredoc, ...] = ()


@record
class InlineFile:
    """A heredoc as a source of COPY or ADD; `expand`: its data is to be expanded, quotes left alone."""

    name: str
    data: str
    expand: bool


@record
class From(Instruction):
    """FROM. `stage` is the stage's name in lower case, "" without one; `stage_written` is the word as written."""

    image: str
    platform: str
    stage: str
    stage_written: str
    as_keyword: str
    description: str


@record
class Arg(Instruction):
    """ARG."""

    definitions: tuple[ArgDefinition, ...]


@record
class Env(Instruction):
    """ENV."""

    pairs: tuple[NameValue, ...]


@record
class Label(Instruction):
    """LABEL."""

    pairs: tuple[NameValue, ...]


@record
class Run(Instruction):
    """RUN. `mount_flags` are the --mount texts, `mounts` what they mean once expanded (None before)."""

    command: CommandLine
    mount_flags: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] | None = None
    mount_sources: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[Device, ...] = ()


@record
class FileTransfer(Instruction):
    """What COPY and ADD share. `sources` are paths (and URLs for ADD); `files` are inline."""

    sources: tuple[str, ...]
    files: tuple[InlineFile, ...]
    destination: str
    chown: str
    chmod: str
    link: bool
    excludes: tuple[str, ...]


@record
class Copy(FileTransfer):
    """COPY. `source` is --from: a stage's name or number, an image or a named context; "" for the build context."""

    source: str
    parents: bool


@record
class Add(FileTransfer):
    """ADD. `keep_git_dir` and `unpack` are None when not given."""

    checksum: str
    keep_git_dir: bool | None
    unpack: bool | None


@record
class Cmd(Instruction):
    """CMD."""

    command: CommandLine


@record
class Entrypoint(Instruction):
    """ENTRYPOINT."""

    command: CommandLine


@record
class Healthcheck(Instruction):
    """HEALTHCHECK. `test` as image-spec's Healthcheck.Test; times in nanoseconds, 0 for the inherited value."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@record
class Expose(Instruction):
    """EXPOSE, in the order of the image's config: sorted."""

    ports: tuple[str, ...]


@record
class Volume(Instruction):
    """VOLUME."""

    paths: tuple[str, ...]


@record
class User(Instruction):
    """USER."""

    user: str


@record
class Workdir(Instruction):
    """WORKDIR."""

    path: str


@record
class Shell(Instruction):
    """SHELL."""

    arguments: tuple[str, ...]


@record
class Stopsignal(Instruction):
    """STOPSIGNAL."""

    signal: str


@record
class Onbuild(Instruction):
    """ONBUILD. `expression` is the trigger's text as it goes into the image's config."""

    expression: str


@record
class Maintainer(Instruction):
    """MAINTAINER, deprecated."""

    author: str
