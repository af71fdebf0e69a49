"""The exception tree. The class says what went wrong, the message with what, `hint` what to do about it.

HoldallError
├── InvalidInput            something given to us is malformed
│   ├── InvalidReference    an image reference
│   ├── InvalidDigest       a digest
│   ├── InvalidMediaType    a media type we cannot use here
│   ├── InvalidManifest     a manifest, index, config or layout
│   ├── InvalidArchive      a tar stream or archive
│   ├── DockerfileError     a Dockerfile or ignore file; knows the lines and shows them
│   └── InvalidOption       a command-line or API option's value
├── Unsupported             well-formed, but Holdall or this kernel does not do it
├── NotFound
│   ├── ImageNotFound, ContainerNotFound, NetworkNotFound, VolumeNotFound, BlobNotFound, PathNotFound
├── Conflict                the request does not fit the present state
│   ├── NameInUse, ImageInUse, VolumeInUse, NetworkInUse, PortInUse
│   └── ContainerStateConflict
├── IntegrityError          bytes are not what their digest or size promised
├── LimitExceeded           a bound on outside input was passed
├── StepFailed              a command of a build ended with another exit code than 0
├── Cancelled               the caller gave the work up (130)
├── RegistryError           the registry answered with an error, or not at all
│   ├── Unauthorized, ManifestUnknown, RateLimited
├── StartError              a container's process could not be started (125)
│   ├── CommandNotExecutable   (126)
│   └── CommandNotFound        (127)
└── SystemFailure           the host refused something
    ├── NoSpace, NotPermitted, SupervisorUnavailable, StoreCorrupt
"""

from __future__ import annotations


class HoldallError(Exception):
    """Base of every error Holdall raises on purpose.

    `hint` is one imperative sentence without period, or None; `exit_code` is what the CLI ends with
    (`run`, `create` and `start` turn 1 into Docker's 125).
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(HoldallError):
    """Something given to us is malformed."""


class InvalidReference(InvalidInput):
    """An image reference does not follow the grammar."""


class InvalidDigest(InvalidInput):
    """A digest does not follow image-spec descriptor.md#digests, or names an unknown algorithm."""


class InvalidMediaType(InvalidInput):
    """A media type that cannot be used where it stands."""


class InvalidManifest(InvalidInput):
    """A manifest, index, image config or image layout is malformed."""


class InvalidArchive(InvalidInput):
    """A tar stream or image archive is malformed or tries to leave its root."""


class StepFailed(HoldallError):
    """A command of a build ended with an exit code other than 0, which is `code`.

    `excerpt` shows its lines in the Dockerfile, `output` are the last lines it printed.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: int = 1,
        excerpt: str = "",
        output: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.excerpt = excerpt
        self.output = output


class Cancelled(HoldallError):
    """The caller gave the work up, or another part of it failed."""

    exit_code = 130


class DockerfileError(InvalidInput):
    """A Dockerfile or ignore file does not follow its language.

    `message` begins with file and line; `excerpt` shows the lines around, the guilty ones marked `>>>`.
    `start` and `end` are line numbers from 1, both included, or 0 when no line can be named.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, file: str = "", start: int = 0, end: int = 0, excerpt: str = ""
    ) -> None:
        place = f"{file}:{start}" if start else file
        super().__init__(f"{place}: {message}" if place else message, hint=hint)
        self.cause = message
        self.file = file
        self.start = start
        self.end = end or start
        self.excerpt = excerpt


class InvalidOption(InvalidInput):
    """An option's value is malformed or contradicts another."""


class Unsupported(HoldallError):
    """Well-formed, but neither Holdall nor this host does it."""


class NotFound(HoldallError):
    """The thing named does not exist."""


class ImageNotFound(NotFound):
    """No image with this name, ID or digest in the store."""


class ContainerNotFound(NotFound):
    """No container with this name or ID."""


class NetworkNotFound(NotFound):
    """No network with this name."""


class VolumeNotFound(NotFound):
    """No volume with this name."""


class BlobNotFound(NotFound):
    """The content store does not hold this digest."""


class PathNotFound(NotFound):
    """A path on the host or in a container does not exist."""


class Conflict(HoldallError):
    """The request does not fit the present state."""


class NameInUse(Conflict):
    """Another object of this kind has the name."""


class ImageInUse(Conflict):
    """A container or another tag needs the image."""


class VolumeInUse(Conflict):
    """A container needs the volume."""


class NetworkInUse(Conflict):
    """A container is attached to the network."""


class PortInUse(Conflict):
    """A published port is taken on the host."""

    exit_code = 125


class ContainerStateConflict(Conflict):
    """The container is running, paused or stopped where the request needs it otherwise."""


class IntegrityError(HoldallError):
    """Bytes are not what their digest or size promised."""


class LimitExceeded(HoldallError):
    """A bound on the size, depth or count of outside input was passed."""


class RegistryError(HoldallError):
    """A registry answered with an error, or could not be reached."""


class Unauthorized(RegistryError):
    """The registry refused our credentials, or wants some."""


class ManifestUnknown(RegistryError):
    """The registry has no such manifest or repository."""


class RateLimited(RegistryError):
    """The registry answered 429 for longer than we are willing to wait."""


class StartError(HoldallError):
    """A container's process could not be started."""

    exit_code = 125


class CommandNotExecutable(StartError):
    """The command exists in the container but cannot be executed."""

    exit_code = 126


class CommandNotFound(StartError):
    """The command does not exist in the container."""

    exit_code = 127


class SystemFailure(HoldallError):
    """The host refused something."""


class NoSpace(SystemFailure):
    """The disk is full or the quota is used up."""


class NotPermitted(SystemFailure):
    """The caller lacks a right that the work needs."""


class SupervisorUnavailable(SystemFailure):
    """The supervisor did not come up or went away in the middle of a request."""


class StoreCorrupt(SystemFailure):
    """The store's own files contradict each other."""
