"""`--change` of `import` and `commit`: Dockerfile instructions that change an image's configuration."""

from __future__ import annotations

import json
import shlex

from holdall.engine.resolve import exposed, merge_env
from holdall.engine.signals import parse_signal
from holdall.errors import InvalidOption, Unsupported
from holdall.oci.container_config import ContainerConfig
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SHELL = ("/bin/sh", "-c")


def apply_changes(config: ContainerConfig, changes: Iterable[str]) -> ContainerConfig:
    """Apply each "INSTRUCTION arguments" in turn. Raises InvalidOption, or Unsupported for other instructions."""
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        rest = rest.strip()
        if not rest:
            raise InvalidOption(f'invalid change "{change}"', hint='write it as in a Dockerfile: CMD ["sh"]')
        config = _apply(config, word.upper(), rest)
    return config


def _apply(config: ContainerConfig, word: str, rest: str) -> ContainerConfig:
    if word == "CMD":
        return replace(config, cmd=_command(rest))
    if word == "ENTRYPOINT":
        return replace(config, entrypoint=_command(rest))
    if word == "ENV":
        return replace(config, env=merge_env(config.env, _pairs(rest)))
    if word == "LABEL":
        labels = dict(config.labels)
        labels.update(item.partition("=")[::2] for item in _pairs(rest))
        return replace(config, labels=labels)
    if word == "EXPOSE":
        return replace(config, exposed_ports=tuple(sorted({*config.exposed_ports, *map(exposed, rest.split())})))
    if word == "VOLUME":
        listed = _array(rest)
        return replace(
            config, volumes=tuple(sorted({*config.volumes, *(listed if listed is not None else rest.split())}))
        )
    if word == "STOPSIGNAL":
        parse_signal(rest)
        return replace(config, stop_signal=rest)
    if word == "USER":
        return replace(config, user=rest)
    if word == "WORKDIR":
        base = config.working_dir or "/"
        return replace(config, working_dir=rest if rest.startswith("/") else f"{base.rstrip('/')}/{rest}")
    raise Unsupported(
        f'the instruction "{word}" is not supported in --change',
        hint="use CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR",
    )


def _array(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        items = json.loads(text)
    except ValueError:
        return None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return None
    return tuple(items)


def _command(text: str) -> tuple[str, ...]:
    listed = _array(text)
    return (*SHELL, text) if listed is None else listed


def _pairs(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as err:
        raise InvalidOption(f'invalid change "{text}": {err}') from err
    if words and "=" not in words[0]:
        name, _, value = text.partition(" ")
        return [f"{name}={value.strip()}"]
    for word in words:
        if not word.partition("=")[1]:
            raise InvalidOption(f'invalid change: "{word}" is no NAME=VALUE')
    return words
