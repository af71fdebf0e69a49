"""An image in the shape of `docker image inspect`."""

from __future__ import annotations

from holdall.engine.times import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.engine.engine import Engine
    from holdall.engine.image import Image
    from holdall.oci.container_config import ContainerConfig
    from holdall.store.layer_report import Names


def image_json(engine: Engine, image: Image) -> dict[str, Any]:
    """Every field Docker's users read. Raises StoreCorrupt."""
    config = image.config
    system, _, rest = image.platform.partition("/")
    architecture, _, variant = rest.partition("/")
    found: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "RepoDigests": list(image.record.digests),
        "Parent": image.record.parent,
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created or rfc3339(None),
        "Author": config.author,
        "Config": config_json(config.config),
        "Architecture": architecture,
        "Os": system,
        "Size": image.size,
        "GraphDriver": {"Name": engine.containers.snapshots.name, "Data": None},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": rfc3339(image.record.stored)},
        "Descriptor": {"mediaType": image.record.media_type, "digest": image.digest},
    }
    if variant:
        found["Variant"] = variant
    return found


def layers_json(image: Image) -> dict[str, Any]:
    """What each layer does, base first; of names the first thousand of each kind."""
    return {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "Layers": [
            {
                "DiffId": layer.report.diff_id,
                "Digest": layer.digest,
                "Size": layer.size,
                "CreatedBy": layer.created_by,
                "Adds": _names_json(layer.report.adds),
                "Overwrites": _names_json(layer.report.overwrites),
                "Removes": _names_json(layer.report.removes),
                "Wasted": layer.report.wasted,
            }
            for layer in image.layers()
        ],
    }


def _names_json(names: Names) -> dict[str, Any]:
    return {"Count": names.count, "Bytes": names.bytes, "Paths": list(names.paths)}


def config_json(config: ContainerConfig) -> dict[str, Any]:
    """`.Config`: members Docker always prints, filled from the image's."""
    found: dict[str, Any] = {
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "Env": list(config.env),
        "Cmd": list(config.cmd) if config.cmd is not None else None,
        "Volumes": {path: {} for path in config.volumes} or None,
        "WorkingDir": config.working_dir,
        "Entrypoint": list(config.entrypoint) if config.entrypoint is not None else None,
        "OnBuild": list(config.on_build) or None,
        "Labels": dict(config.labels) or None,
        "StopSignal": config.stop_signal,
    }
    if config.healthcheck is not None:
        found["Healthcheck"] = config.healthcheck.to_json()
    if config.shell is not None:
        found["Shell"] = list(config.shell)
    return found
