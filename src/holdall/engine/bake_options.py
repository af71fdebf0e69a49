"""From a target of bake to the options of a build."""

from __future__ import annotations

import os

from holdall.bake.plain import plain_errors
from holdall.build import annotating, cache_options, fields, outputs
from holdall.build.limits import Limits
from holdall.build.options import BuildOptions
from holdall.build.secrets import Secret
from holdall.engine import syntax
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CWD = "cwd://"
REMOTE = ("http://", "https://", "git://", "git@", "ssh://")
NETWORKS = ("default", "bridge", "none", "host")


@plain_errors()
def options(name: str, target: Mapping[str, Any], environ: Mapping[str, str]) -> BuildOptions:
    """The options; contexts that are other targets stay as `target:NAME`. Raises InvalidOption, InvalidInput."""
    try:
        return _made(target, environ)
    except InvalidOption as err:
        raise InvalidOption(f'target "{name}": {err.message}', hint=err.hint) from err


def _made(target: Mapping[str, Any], environ: Mapping[str, str]) -> BuildOptions:
    _refuse(target)
    context = _path(target.get("context", "."))
    arguments = dict(target.get("args", {}))
    if environ.get("SOURCE_DATE_EPOCH"):
        arguments.setdefault("SOURCE_DATE_EPOCH", environ["SOURCE_DATE_EPOCH"])
    network = target.get("network", "default")
    if network not in NETWORKS:
        raise InvalidOption(f'invalid network "{network}"', hint="use default, none or host")
    inline = target.get("dockerfile-inline")
    return BuildOptions(
        context=context,
        dockerfile="" if inline is not None else _dockerfile(target.get("dockerfile", "Dockerfile"), context),
        text=None if inline is None else inline.encode("utf-8", "surrogateescape"),
        contexts={name: _path(value) for name, value in target.get("contexts", {}).items()},
        tags=_split(target.get("tags", [])),
        target=target.get("target", ""),
        build_args=arguments,
        labels=target.get("labels", {}),
        platforms=_split(target.get("platforms", [])),
        no_cache=target.get("no-cache", False),
        no_cache_filter=_split(target.get("no-cache-filter", [])),
        pull=target.get("pull", False),
        network=network,
        secrets=dict([Secret.parse(one, environ) for one in target.get("secret", [])]),
        ssh=dict([_ssh(one) for one in target.get("ssh", [])]),
        allow=tuple([one for one in target.get("entitlements", []) if one in ("network.host", "security.insecure")]),
        outputs=outputs.chosen(target.get("output", [])),
        annotations=annotating.parse(target.get("annotations", [])),
        cache_from=cache_options.parse_all(target.get("cache-from", []), cache_options.FROM, environ),
        cache_to=cache_options.parse_all(target.get("cache-to", []), cache_options.TO, environ),
        limits=_limits(target),
    )


def _refuse(target: Mapping[str, Any]) -> None:
    for one in target.get("attest", []):
        if fields.attributes(one, "attest").get("disabled") != "true":
            raise InvalidOption(f'"attest" is not supported: "{one}"')
    for one in target.get("entitlements", []):
        if one not in ("network.host", "security.insecure"):
            raise InvalidOption(f'the entitlement "{one}" is not supported')
    if target.get("call", "build") not in ("", "build", "check"):
        raise InvalidOption(f'"call" is not supported: "{target["call"]}"', hint="use build or check")
    for key in ("context", "dockerfile"):
        if target.get(key) == "-":
            raise InvalidOption(f'"{key}" cannot be standard input')


def _path(text: str) -> str:
    return text.removeprefix(CWD)


def _dockerfile(text: str, context: str) -> str:
    """The Dockerfile's path: within the context, unless it is absolute or begins with cwd://."""
    if text.startswith(CWD):
        return text.removeprefix(CWD)
    if os.path.isabs(text) or text.startswith(REMOTE):
        return text
    if context.startswith(REMOTE) or not os.path.isdir(context):
        return "" if text == "Dockerfile" else text
    # without a name of its own the build also finds "dockerfile"
    return "" if text == "Dockerfile" else os.path.join(context, text)


def _split(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([part.strip() for one in texts for part in one.split(",") if part.strip()]))


def _ssh(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, paths = text.partition("=")
    return name, tuple([path for path in paths.split(",") if path])


def _limits(target: Mapping[str, Any]) -> Limits:
    ulimits = [syntax.parse_ulimit(one) for one in target.get("ulimits", [])]
    shm = target.get("shm-size")
    return Limits(
        shm_size=syntax.parse_size(shm, "shm-size") if shm else None,
        ulimits=tuple([(one.name, one.soft, one.hard) for one in ulimits]),
        add_hosts=tuple([f"{name}:{address}" for name, address in sorted(target.get("extra-hosts", {}).items())]),
    )
