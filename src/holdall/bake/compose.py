"""Compose files: the `build:` sections of services as targets, as `docker buildx bake` reads them.

The file's other parts are for whoever runs the services and are passed over. Values have variables (dotenv.py).
"""

from __future__ import annotations

from holdall.bake import dotenv, values, yaml_file
from holdall.bake.definition import DEFAULT, LINK, Group, Target
from holdall.build import fields
from holdall.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

SERVICE = "service:"
PLAIN = {"context": "context", "dockerfile": "dockerfile", "dockerfile_inline": "dockerfile-inline",
         "target": "target", "network": "network", "shm_size": "shm-size"}  # fmt: skip
TRUTHS = {"no_cache": "no-cache", "pull": "pull"}
LISTS = {"cache_from": "cache-from", "cache_to": "cache-to", "platforms": "platforms", "tags": "tags",
         "entitlements": "entitlements"}  # fmt: skip
MAPS = {"labels": "labels", "additional_contexts": "contexts", "extra_hosts": "extra-hosts"}
OTHERS = ("args", "ssh", "secrets", "ulimits", "x-bake")
OFF = ("privileged", "provenance", "sbom")
"""What may be said to be off."""
X_BAKE = ("tags", "cache-from", "cache-to", "secret", "ssh", "platforms", "output", "pull", "no-cache",
          "no-cache-filter", "contexts")  # fmt: skip


def parse(files: Sequence[tuple[str, bytes]], environ: Mapping[str, str]) -> tuple[list[Group], list[Target]]:
    """The services with a `build:` section as targets, all of them in the group "default".

    Later files add to earlier ones. Raises InvalidInput, LimitExceeded.
    """
    whole: dict[str, Any] = {}
    for name, raw in files:
        tree = yaml_file.load(raw, name)
        if tree is None:
            continue
        if not isinstance(tree, dict):
            raise InvalidInput(f"{name}: the top must be a mapping")
        if tree.get("include"):
            raise InvalidInput(f'{name}: the key "include" is not supported', hint="name all files with -f")
        chosen = {key: tree[key] for key in ("services", "secrets") if tree.get(key) is not None}
        whole = _merged(whole, _interpolated(_lifted(chosen, name), environ, name))
    where = files[0][0] if files else ""
    secrets = whole.get("secrets", {})
    targets = [
        _target(name, service, secrets, environ, f'{where}: service "{name}"')
        for name, service in whole.get("services", {}).items()
        if "build" in service
    ]
    groups = [Group(DEFAULT, tuple([one.name for one in targets]))] if targets else []
    return groups, targets


def _lifted(tree: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Services with what concerns builds, `build: FOLDER` as a mapping."""
    services = tree.get("services", {})
    secrets = tree.get("secrets", {})
    if not isinstance(services, dict) or not isinstance(secrets, dict):
        raise InvalidInput(f'{where}: "services" and "secrets" must be mappings')
    found = {}
    for name, service in services.items():
        given = {} if service is None else service
        if not isinstance(given, dict):
            raise InvalidInput(f'{where}: service "{name}" must be a mapping')
        if given.get("extends"):
            raise InvalidInput(f'{where}: service "{name}": the key "extends" is not supported')
        kept = {key: given[key] for key in ("image", "build", "environment") if given.get(key) is not None}
        if isinstance(kept.get("build"), str):
            kept["build"] = {"context": kept["build"]}
        if "build" in kept and not isinstance(kept["build"], dict):
            raise InvalidInput(f'{where}: "build" of service "{name}" must be a text or a mapping')
        for key in ("args", "labels", "additional_contexts", "extra_hosts"):
            if key in kept.get("build", {}):
                kept["build"][key] = _mapping(kept["build"][key], f'{where}: service "{name}" "{key}"')
        if "environment" in kept:
            kept["environment"] = _mapping(kept["environment"], f'{where}: "environment" of service "{name}"')
        found[name] = kept
    return {"services": found, "secrets": secrets}


def _interpolated(value: Any, environ: Mapping[str, str], where: str) -> Any:
    if isinstance(value, str):
        return dotenv.substituted(value, environ, where)
    if isinstance(value, list):
        return [_interpolated(one, environ, where) for one in value]
    if isinstance(value, dict):
        return {key: _interpolated(one, environ, f"{where}: {key}") for key, one in value.items()}
    return value


def _merged(first: Any, second: Any) -> Any:
    """Mappings grow, lists too, anything else is replaced."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {**first, **{key: _merged(first[key], one) if key in first else one for key, one in second.items()}}
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *[one for one in second if one not in first]]
    return second


def _mapping(value: Any, where: str) -> dict[str, Any]:
    """A mapping, or a list of NAME=VALUE; a name alone has the value None."""
    if isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for one in values.texts(value if value is not None else [], where):
        name, equals, text = one.partition("=")
        if not equals and ":" in name and "extra_hosts" in where:
            name, equals, text = one.partition(":")
        found[name] = text if equals else None
    return found


def _target(
    name: str, service: Mapping[str, Any], secrets: Mapping[str, Any], environ: Mapping[str, str], where: str
) -> Target:
    build: Mapping[str, Any] = service["build"]
    for key, value in build.items():
        if key in OFF and value not in (None, False, "false"):
            raise InvalidInput(f'{where}: "{key}" is not supported')
        if key not in (*PLAIN, *TRUTHS, *LISTS, *MAPS, *OTHERS, *OFF) and not (
            key == "isolation" and value == "default"
        ):
            raise InvalidInput(f'{where}: the key "{ascii(key[:80])[1:-1]}" of "build" is not supported')
    found: dict[str, Any] = {}
    for keys in (PLAIN, TRUTHS, LISTS, MAPS):
        for key, own in keys.items():
            value = values.normal(own, build.get(key), f'{where} "{key}"')
            if value not in (None, [], {}):
                found[own] = value
    args = _args(build.get("args") or {}, service.get("environment") or {}, environ, f'{where} "args"')
    given = {"args": args, "ssh": _ssh(build.get("ssh"), where), "ulimits": _ulimits(build.get("ulimits"), where)}
    given["secret"] = [_secret(one, secrets, where) for one in build.get("secrets") or []]
    found.update({key: value for key, value in given.items() if value})
    if "contexts" in found:
        found["contexts"] = {key: _linked(one) for key, one in found["contexts"].items()}
    found = _extended(found, build.get("x-bake"), f'{where} "x-bake"')
    image = service.get("image")
    if not found.get("tags") and image:
        found["tags"] = [values.text(image, f'{where} "image"')]
    return Target(name.replace(".", "_"), found)


def _args(given: Mapping[str, Any], own: Mapping[str, Any], environ: Mapping[str, str], where: str) -> dict[str, str]:
    """Arguments; one without value has that of the service's environment, or the caller's, or is not given."""
    found = {}
    for name, value in given.items():
        if value is None:
            value = own.get(name) if own.get(name) is not None else environ.get(name)
        if value is not None:
            found[name] = values.text(value, f'{where} "{name}"')
    return found


def _linked(value: str) -> str:
    for mark in (SERVICE, LINK):
        if value.startswith(mark):
            return LINK + value.removeprefix(mark).replace(".", "_")
    return value


def _ssh(given: Any, where: str) -> list[str]:
    if isinstance(given, dict):
        return [f"{key}={values.text(path, where)}" if path else key for key, path in given.items()]
    return values.texts(given or [], f'{where} "ssh"')


def _ulimits(given: Any, where: str) -> list[str]:
    if not isinstance(given, dict):
        return []
    found = []
    for name, value in given.items():
        if isinstance(value, dict):
            found.append(f"{name}={value.get('soft')}:{value.get('hard')}")
        else:
            found.append(f"{name}={values.text(value, where)}")
    return found


def _secret(given: Any, secrets: Mapping[str, Any], where: str) -> str:
    """A secret by its name at the top of the file, as --secret takes it."""
    name = given.get("source") if isinstance(given, dict) else given
    if not isinstance(name, str) or not name:
        raise InvalidInput(f'{where}: a secret needs a name ("source")')
    known = secrets.get(name) or {}
    if not isinstance(known, dict) or known.get("external") not in (None, False, "false"):
        raise InvalidInput(f'{where}: the external secret "{name}" is not supported')
    pairs = [("id", name)]
    if known.get("file"):
        pairs.append(("src", values.text(known["file"], where)))
    elif known.get("environment"):
        pairs.append(("env", values.text(known["environment"], where)))
    return fields.joined(pairs)


def _extended(found: dict[str, Any], given: Any, where: str) -> dict[str, Any]:
    """What `x-bake` adds; a text stands for a list of its words."""
    if given is None:
        return found
    if not isinstance(given, dict):
        raise InvalidInput(f"{where} must be a mapping")
    for key, value in given.items():
        if key not in X_BAKE:
            raise InvalidInput(f'{where}: the key "{ascii(key[:80])[1:-1]}" is not supported')
        if isinstance(value, str) and values.KEYS[key] in (values.LIST, values.OBJECTS):
            value = value.split()
        made = values.normal(key, value, f'{where} "{key}"')
        if made is None:
            continue
        if isinstance(made, list):
            found[key] = list(dict.fromkeys([*found.get(key, []), *made]))
        elif isinstance(made, dict):
            found[key] = {**{name: _linked(one) for name, one in made.items()}, **found.get(key, {})}
        else:
            found[key] = made
    return found
