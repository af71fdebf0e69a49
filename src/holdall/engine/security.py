"""`--security-opt`: what it says about new privileges, seccomp and masked paths."""

from __future__ import annotations

from holdall.errors import InvalidOption, Unsupported
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


@record
class SecurityOptions:
    """Parsed `--security-opt` values. `seccomp` is "" for the default profile, "unconfined", or a profile's path."""

    no_new_privileges: bool = False
    seccomp: str = ""
    unmasked: bool = False

    @classmethod
    def parse(cls, items: Iterable[str]) -> SecurityOptions:
        """Read Docker's forms NAME, NAME=VALUE and NAME:VALUE. Raises InvalidOption or Unsupported."""
        values: dict[str, object] = {}
        for item in items:
            mark = "=" if "=" in item else ":"
            name, _, value = item.partition(mark)
            if name == "no-new-privileges":
                if value not in ("", "true", "false"):
                    raise InvalidOption(f'invalid value "{item}" for --security-opt')
                values["no_new_privileges"] = value != "false"
            elif name == "seccomp":
                if not value:
                    raise InvalidOption(f'invalid value "{item}" for --security-opt', hint="write seccomp=FILE")
                values["seccomp"] = "" if value == "builtin" else value
            elif name == "systempaths" and value == "unconfined":
                values["unmasked"] = True
            elif name in ("apparmor", "label"):
                _disabled(name, value, item)
            else:
                raise Unsupported(f'the --security-opt "{item}" is not supported')
        return cls(**values)  # type: ignore[arg-type]  # each key was set with its own type above


def _disabled(name: str, value: str, item: str) -> None:
    """AppArmor profiles and SELinux labels are never applied, so only switching them off can be honoured."""
    if value not in ("unconfined", "disable"):
        raise Unsupported(
            f'the --security-opt "{item}" is not supported: Holdall applies no {name} profile',
            hint=f"use {name}={'unconfined' if name == 'apparmor' else 'disable'}",
        )
