"""Builder flags of an instruction: `--name`, `--name=value`."""

from __future__ import annotations

from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ONE = "one"
MANY = "many"
SWITCH = "switch"


class Flags:
    """The flags given, checked against `known` (name → ONE, MANY or SWITCH). Raises DockerfileError."""

    def __init__(self, given: tuple[str, ...], known: Mapping[str, str]) -> None:
        self._values: dict[str, list[str]] = {}
        for text in given:
            name, equals, value = text[2:].partition("=")
            if name not in known:
                raise DockerfileError(f'unknown flag "--{name}"', hint=_hint(name, known))
            if name in self._values and known[name] != MANY:
                raise DockerfileError(f'flag "--{name}" is given twice')
            self._values.setdefault(name, []).append(_checked(name, value, equals, known[name]))

    def one(self, name: str, default: str = "") -> str:
        """The value of a ONE flag, or `default`."""
        return self._values.get(name, [default])[0]

    def many(self, name: str) -> tuple[str, ...]:
        """The values of a MANY flag, in order."""
        return tuple(self._values.get(name, ()))

    def switch(self, name: str) -> bool | None:
        """The state of a SWITCH flag, or None when it is not given."""
        return self._values[name][0] == "true" if name in self._values else None


def _hint(name: str, known: Mapping[str, str]) -> str | None:
    near = hint(f"--{name}", [f"--{word}" for word in known])
    if near or not known:
        return near
    return "known here: " + ", ".join(f"--{word}" for word in sorted(known))


def _checked(name: str, value: str, equals: str, kind: str) -> str:
    if kind != SWITCH:
        if not equals:
            raise DockerfileError(f'flag "--{name}" needs a value', hint=f"write --{name}=…")
        return value
    if equals and not value:
        raise DockerfileError(f'flag "--{name}" has an empty value', hint=f"write --{name} or --{name}=true")
    if value.lower() not in ("", "true", "false"):
        raise DockerfileError(f'flag "--{name}" must be true or false, not "{value}"')
    return value.lower() or "true"
