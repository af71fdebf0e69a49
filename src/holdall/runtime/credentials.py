"""The last privileges: groups, user, capabilities, no_new_privs and the seccomp filter, in the one order that works.

Without no_new_privs the filter needs CAP_SYS_ADMIN to load, so it goes in before the capabilities shrink; with it,
the filter is the very last step. Everything that a strict filter might forbid is done before.
"""

from __future__ import annotations

import os
import resource

from holdall.errors import StartError
from holdall.linux import capabilities, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.oci.runtime_spec import ProcessSpec, Rlimit
    from holdall.runtime.user import Account

RLIMITS = {
    name: getattr(resource, name)
    for name in (
        "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
        "RLIMIT_SIGPENDING", "RLIMIT_STACK",
    )
    if hasattr(resource, name)
}  # fmt: skip
LOCKS = 10  # RLIMIT_LOCKS, which Python does not name


def become(
    spec: ProcessSpec,
    account: Account,
    look: Callable[[], None],
    seccomp: Callable[[], None] | None,
    warn: Callable[[str], None],
) -> None:
    """Turn the calling process into `account` with the spec's capabilities, limits and filter. Raises OSError.

    `look` is called as that user, but before limits, filter and loss of capabilities get in the way.
    """
    wanted = spec.capabilities
    _effective, permitted, _inheritable = capabilities.get()
    bounding = capabilities.mask(wanted.bounding) if wanted else 0
    capabilities.drop_bounding(bounding)
    process.set_keep_caps(keep=True)
    os.setgroups(list(dict.fromkeys((*account.groups, *spec.user.additional_gids))))
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    capabilities.set(permitted, permitted, 0)
    process.set_keep_caps(keep=False)
    process.set_dumpable(dumpable=False)
    look()
    for limit in spec.rlimits:
        set_limit(limit, warn)
    if spec.no_new_privileges:
        process.set_no_new_privs()
    elif seccomp is not None:
        seccomp()
    if wanted:
        allowed = permitted
        inheritable = capabilities.mask(wanted.inheritable) & allowed
        capabilities.set(
            capabilities.mask(wanted.effective) & allowed, capabilities.mask(wanted.permitted) & allowed, inheritable
        )
        if wanted.ambient:  # else empty already: without inheritable ones there are none
            capabilities.set_ambient(capabilities.mask(wanted.ambient) & inheritable)
    else:
        capabilities.set(0, 0, 0)
    if spec.no_new_privileges and seccomp is not None:
        seccomp()


def set_limit(limit: Rlimit, warn: Callable[[str], None]) -> None:
    """setrlimit(2). What we may not raise stays as it is, with a warning. Raises StartError for unknown names."""
    number = LOCKS if limit.type == "RLIMIT_LOCKS" else RLIMITS.get(limit.type)
    if number is None:
        raise StartError(f'unknown resource limit "{limit.type}"')
    try:
        resource.setrlimit(number, (limit.soft, limit.hard))
    except (ValueError, PermissionError) as err:
        _soft, hard = resource.getrlimit(number)
        if not _greater(limit.hard, hard):
            raise StartError(f"cannot set {limit.type} to {limit.soft}:{limit.hard}: {str(err).lower()}") from err
        soft = hard if _greater(limit.soft, hard) else limit.soft
        resource.setrlimit(number, (soft, hard))
        warn(f"cannot raise {limit.type} to {limit.soft}:{limit.hard}, using {soft}:{hard}")


def _greater(one: int, other: int) -> bool:
    if other == resource.RLIM_INFINITY:
        return False
    return one == resource.RLIM_INFINITY or one > other
