"""Settings of the store: /etc/holdall/holdall.toml, then $XDG_CONFIG_HOME/holdall/holdall.toml, then the environment.

Read when they are needed, which `run` never does.
"""

from __future__ import annotations

import os
import re

from holdall.errors import InvalidOption
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_FILE = "/etc/holdall/holdall.toml"
STORE, BUILD = "store", "build"
VARIABLES = {STORE: "HOLDALL_STORE_BUDGET", BUILD: "HOLDALL_BUILD_BUDGET"}
MAX_FILE = 1 << 20
DEFAULT_BUDGET = "10%"
SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(%|[kmgtp]?i?b?)\Z", re.IGNORECASE)
POWERS = "kmgtp"


@record
class Budget:
    """How much the cache may take: bytes, or a share of the disk (0 to 1)."""

    size: int | None
    share: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Budget:
        """ "10GB" (decimal), "10GiB", "500M", "10%", "0". Raises InvalidOption."""
        match = SIZE.match(text.strip())
        if match is None:
            raise InvalidOption(f'invalid budget "{text}"', hint="write a size as 10GB or 512MiB, or a share as 10%")
        number, unit = float(match.group(1)), match.group(2).lower()
        if unit == "%":
            if number > 100:
                raise InvalidOption(f'invalid budget "{text}"', hint="the disk has 100%")
            return cls(None, number / 100)
        base = 1024 if "i" in unit else 1000
        power = POWERS.index(unit[0]) + 1 if unit and unit[0] in POWERS else 0
        return cls(int(number * base**power))

    def bytes(self, path: str) -> int:
        """For the disk that holds `path`. Raises OSError."""
        if self.size is not None:
            return self.size
        disk = os.statvfs(path)
        return int(disk.f_blocks * disk.f_frsize * self.share)


def budget(environ: Mapping[str, str] | None = None, table: str = STORE) -> Budget:
    """The setting `store.budget` or, of the build cache, `build.budget`; 10% unless somebody has said otherwise.

    Raises InvalidOption.
    """
    env = os.environ if environ is None else environ
    if env.get(VARIABLES[table]):
        return Budget.parse(env[VARIABLES[table]])
    text = DEFAULT_BUDGET
    for path in files(env):
        text = _read(path, table) or text
    return Budget.parse(text)


def files(env: Mapping[str, str]) -> tuple[str, ...]:
    """Where settings are looked for; the last one found counts."""
    config = env.get("XDG_CONFIG_HOME") or os.path.join(env.get("HOME", "/"), ".config")
    return SYSTEM_FILE, os.path.join(config, "holdall/holdall.toml")


def _read(path: str, wanted: str) -> str:
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        return ""
    except OSError as err:
        raise InvalidOption(f'cannot read "{path}": {err.strerror}') from err
    import tomllib

    if len(raw) > MAX_FILE:
        raise InvalidOption(f'"{path}" has more than {MAX_FILE} bytes')
    try:
        tree = tomllib.loads(raw.decode())
    except ValueError as err:
        raise InvalidOption(f'"{path}" is no TOML: {err}') from err
    unknown = []
    for name, table in tree.items():
        if name not in VARIABLES or not isinstance(table, dict):
            unknown.append(name)
        else:
            unknown += [f"{name}.{key}" for key in table if key != "budget"]
    if unknown:
        raise InvalidOption(
            f'unknown key "{unknown[0]}" in "{path}"', hint="use [store] with budget, and [build] with budget"
        )
    value = tree.get(wanted, {}).get("budget", "")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidOption(f'"{path}": "budget" must be a text or a number of bytes')
    return str(value)
