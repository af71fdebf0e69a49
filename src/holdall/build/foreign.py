"""RUN for a platform that is not this machine's: the kernel needs an emulator, which we can only ask for by name."""

from __future__ import annotations

from holdall.errors import DockerfileError, StepFailed
from holdall.linux import binfmt
from holdall.oci.platform import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.platform import Platform

HINT = (
    "register an emulator in binfmt_misc with the flag F (Debian: apt install qemu-user-static), or build natively"
    " with FROM --platform=$BUILDPLATFORM and copy the result"
)

FORMAT = "exec format error"


def is_foreign(platform: Platform) -> bool:
    """Whether this machine does not run its programs by itself."""
    return not host().matches(platform)


def check(platform: Platform) -> None:
    """Raises DockerfileError when the kernel has no handler for the platform's programs, as far as can be known."""
    if not is_foreign(platform):
        return
    found = binfmt.handlers() if platform.os == host().os else ()
    if found is None:
        return
    handler = binfmt.find(found, platform.architecture)
    if handler is None:
        raise _refused(platform, "this machine has no emulator for it")
    if binfmt.FIXED not in handler.flags:
        raise _refused(platform, f'the emulator "{handler.name}" is registered without the flag F')


def explained(error: StepFailed, platform: Platform) -> Exception:
    """A failed step's error, or what it means when the kernel could not run the program at all."""
    if FORMAT in error.message.lower() and is_foreign(platform):
        return _refused(platform, error.message)
    return error


def _refused(platform: Platform, why: str) -> DockerfileError:
    return DockerfileError(f"cannot RUN for {platform}: {why}", hint=HINT)
