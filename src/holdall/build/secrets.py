"""What `--secret` names: values read once, kept in memory, and never part of a key, a layer, a record or a message."""

from __future__ import annotations

import os

from holdall.build import fields
from holdall.errors import InvalidOption
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SECRET = 500 * 1024
"""Bytes of one secret; BuildKit's bound."""
_KEYS = ("id", "src", "source", "env", "type")
_HINT = "write id=NAME,src=FILE or id=NAME,env=VARIABLE"


@record
class Secret:
    """Where a secret is: in a file, or in a variable of the caller's environment."""

    file: str = ""
    env: str = ""

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str] | None = None) -> tuple[str, Secret]:
        """`id=NAME[,type=file|env][,src=FILE][,env=VARIABLE]` as (id, secret). Raises InvalidOption.

        With only an id: the variable of that name if there is one, else the file.
        """
        env = os.environ if environ is None else environ
        found = fields.attributes(text, "--secret")
        unknown = found.keys() - set(_KEYS)
        if unknown:
            raise InvalidOption(f'"{min(unknown)}" is not known in --secret "{text}"', hint=_HINT)
        name, kind, variable = (found.get(key, "") for key in ("id", "type", "env"))
        source = found.get("src") or found.get("source", "")
        if not name or kind not in ("", "file", "env") or (kind == "file" and variable) or (source and variable):
            raise InvalidOption(f'invalid value "{text}" for --secret', hint=_HINT)
        if kind == "env":
            variable, source = variable or source or name, ""
        elif not source and not variable:
            if kind == "" and name in env:
                variable = name
            else:
                source = name
        return name, cls(file=source, env=variable)

    def read(self, name: str) -> bytes:
        """The value. Raises InvalidOption when it is not there or too large."""
        if self.env:
            value = os.environb.get(self.env.encode("utf-8", "surrogatepass"))
            if value is None:
                raise InvalidOption(
                    f'the secret "{name}" is to come from the variable "{self.env}", which is not set',
                    hint=f"export {self.env}, or name a file with src=FILE",
                )
        else:
            try:
                with open(self.file, "rb") as file:
                    value = file.read(MAX_SECRET + 1)
            except (OSError, ValueError) as err:
                reason = (err.strerror or "").lower() if isinstance(err, OSError) else "that is no path"
                raise InvalidOption(f'cannot read the secret "{name}": "{self.file}": {reason}', hint=_HINT) from err
        if len(value) > MAX_SECRET:
            raise InvalidOption(f'the secret "{name}" has more than {MAX_SECRET} bytes')
        return value


class Vault:
    """The values of one build's secrets, by id. It shows none when it is printed."""

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._values = {name: secret.read(name) for name, secret in secrets.items()}

    def __repr__(self) -> str:
        return f"<Vault of {len(self._values)}>"

    def __bool__(self) -> bool:
        return bool(self._values)

    def get(self, name: str) -> bytes | None:
        """The value of a secret, None when it was not given."""
        return self._values.get(name)

    def items(self) -> Iterable[tuple[str, bytes]]:
        """All of them, by id."""
        return self._values.items()
