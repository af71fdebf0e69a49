"""What `registry inspect` shows of an image without pulling it; the keys are skopeo's, and some more."""

from __future__ import annotations

from holdall.haul.place import REGISTRY
from holdall.haul.sources import source
from holdall.haul.tree import one_platform
from holdall.oci import mediatype
from holdall.oci.config import ImageConfig
from holdall.oci.index import Index, detect
from holdall.oci.platform import host
from holdall.record import record
from holdall.registry.options import Options
from holdall.registry.query import list_tags
from holdall.registry.unwrap import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.haul.place import Place
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.manifest import Manifest
    from holdall.oci.platform import Platform


@record
class Documents:
    """`top` is what the name stands for, as it is there; `config` is that of the manifest for the platform."""

    top: Descriptor
    raw: bytes
    manifest: Manifest
    config: bytes


async def documents(place: Place, platform: Platform | None = None, *, options: Options | None = None) -> Documents:
    """Read an image's documents. Raises ImageNotFound, InvalidManifest, IntegrityError, RegistryError and its kin."""
    with named(f'cannot inspect "{place}"'):
        async with source(place, options or Options()) as opened:
            top = await opened.top()
            raw = await opened.read(top)
            tree = await one_platform(top, opened.read, platform or host())
            return Documents(top, raw, tree.manifests[0], await opened.config(tree.manifests[0]))


async def raw(place: Place, *, options: Options | None = None) -> bytes:
    """The manifest or index alone. Raises as `documents`."""
    with named(f'cannot inspect "{place}"'):
        async with source(place, options or Options()) as opened:
            return await opened.read(await opened.top())


async def facts(
    place: Place, platform: Platform | None = None, *, tags: bool = True, options: Options | None = None
) -> dict[str, Any]:
    """All that is shown. Raises as `documents`."""
    found = await documents(place, platform, options=options)
    manifest = found.manifest
    reference = place.reference if place.kind == REGISTRY else None
    names = await list_tags(reference, options=options) if reference is not None and tags else ()
    shown: dict[str, Any] = {
        "Name": reference.name if reference is not None else str(place),
        "Digest": str(found.top.digest),
        "RepoTags": list(names),
        "MediaType": found.top.media_type,
        "Platforms": _platforms(found),
        "ManifestDigest": str(manifest.digest),
    }
    if manifest.is_image:
        shown.update(_image(ImageConfig.parse(found.config), manifest))
    else:
        shown["ArtifactType"] = manifest.artifact_type or manifest.config.media_type
    return {
        **shown,
        "Size": len(manifest.raw) + manifest.config.size + sum(one.size for one in manifest.layers),
        "Annotations": dict(manifest.annotations or {}),
        "Layers": [str(one.digest) for one in manifest.layers],
        "LayersData": [
            {"MIMEType": one.media_type, "Digest": str(one.digest), "Size": one.size, "Annotations": one.annotations}
            for one in manifest.layers
        ],
    }


def _platforms(found: Documents) -> list[str]:
    kind = detect(found.raw, found.top.media_type)
    if not mediatype.is_index(kind):
        return []
    members = Index.parse(found.raw, kind).manifests
    return [str(one.platform) for one in members if one.platform is not None and one.platform.os != "unknown"]


def _image(config: ImageConfig, manifest: Manifest) -> dict[str, Any]:
    inner = config.config
    return {
        "ImageID": str(manifest.config.digest),
        "Created": config.created or "",
        "Author": config.author or "",
        "Labels": dict(inner.labels or {}),
        "Architecture": config.platform.architecture,
        "Os": config.platform.os,
        "Variant": config.platform.variant,
        "Env": list(inner.env or ()),
        "User": inner.user or "",
        "Entrypoint": list(inner.entrypoint or ()),
        "Cmd": list(inner.cmd or ()),
        "WorkingDir": inner.working_dir or "",
    }
