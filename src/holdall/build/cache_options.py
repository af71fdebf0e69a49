"""`--cache-to` and `--cache-from`: where a build's cache is sent to and looked for, in the words of buildx."""

from __future__ import annotations

import os
import re

from holdall.build import compression, fields
from holdall.build.compression import Compression
from holdall.errors import InvalidOption
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TO, FROM = "--cache-to", "--cache-from"
REGISTRY, LOCAL, S3, INLINE = "registry", "local", "s3", "inline"
TYPES = (REGISTRY, LOCAL, S3, INLINE)
ELSEWHERE = ("gha", "azblob")
MIN, MAX = "min", "max"
DEFAULT_NAME = "holdall"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")


@record
class Bucket:
    """Where in S3. Without keys the usual places are asked (environment, ~/.aws, the machine's role)."""

    bucket: str
    region: str
    prefix: str = ""
    manifests: str = "manifests/"
    blobs: str = "blobs/"
    names: tuple[str, ...] = (DEFAULT_NAME,)
    endpoint: str = ""
    key: str = ""
    secret: str = ""
    token: str = ""
    path_style: bool = False
    parallel: int = 4
    refresh: float = 86400.0
    """Seconds after which a blob that is used again is touched, so that rules which expire objects spare it."""


@record
class CacheOption:
    """One place. `ref` is a registry's, `path` a folder's; `tag` and `digest` choose among the folder's caches.

    With the mode "max" all stages' layers go there, with "min" those of the result. With `lenient` a failure of the
    export does not fail the build. `text` is how it was written.
    """

    type: str
    ref: str = ""
    path: str = ""
    tag: str = "latest"
    digest: str = ""
    mode: str = MIN
    mounts: bool = True
    compression: Compression = Compression()
    lenient: bool = False
    insecure: bool = False
    bucket: Bucket | None = None
    text: str = ""


def parse(text: str, option: str, environ: Mapping[str, str] | None = None) -> tuple[CacheOption, ...]:
    """One value of --cache-to or --cache-from; names alone are registries' references. Raises InvalidOption."""
    if "=" not in text:
        return tuple([_registry({"ref": part}, option) for part in fields.split(text) if part])
    values = fields.attributes(text, option)
    kind = values.pop("type", "")
    if kind in ELSEWHERE:
        raise InvalidOption(f'cache of type "{kind}" is not supported in {option}', hint="use registry, local or s3")
    if kind not in TYPES or (kind == INLINE and option == FROM):
        hint = "use registry: a cache inline in an image is found by the image's name" if kind == INLINE else None
        raise InvalidOption(f'invalid type "{kind}" in {option}', hint=hint or f"use one of {', '.join(TYPES)}")
    if kind == REGISTRY:
        made = _registry(values, option)
    elif kind == LOCAL:
        made = _local(values, option)
    elif kind == S3:
        made = _s3(values, option, os.environ if environ is None else environ)
    else:
        made = CacheOption(INLINE)
    if option == TO:
        made = _export(made, values)
    fields.refuse_rest(values, option, kind)
    return (replace(made, text=_shown(text)),)


def parse_all(texts: Iterable[str], option: str, environ: Mapping[str, str] | None = None) -> tuple[CacheOption, ...]:
    """All values of an option. Raises InvalidOption."""
    return tuple([one for text in texts for one in parse(text, option, environ)])


def _shown(text: str) -> str:
    """Without what must not be printed."""
    return re.sub(r"(?i)(secret_access_key|session_token)=[^,]*", r"\1=…", text)


def _export(made: CacheOption, values: dict[str, str]) -> CacheOption:
    if made.type == INLINE:
        return made
    mode = values.pop("mode", MIN)
    if mode not in (MIN, MAX):
        raise InvalidOption(f'invalid value "{mode}" for mode in {TO}', hint="use min or max")
    for name, wanted in (("oci-mediatypes", True), ("image-manifest", True)):
        if fields.flag(values, name, TO, default=wanted) is not wanted:
            raise InvalidOption(f"{name}=false is not supported in {TO}: a cache is an OCI manifest")
    packed = compression.take(values, TO)
    if packed.kind == compression.CHUNKED:
        raise InvalidOption(f"compression zstd:chunked is not supported in {TO}", hint="use zstd")
    return replace(
        made,
        mode=mode,
        mounts=fields.flag(values, "mounts", TO, default=True),
        compression=packed,
        lenient=fields.flag(values, "ignore-error", TO),
    )


def _registry(values: dict[str, str], option: str) -> CacheOption:
    ref = values.pop("ref", "")
    if not ref:
        raise InvalidOption(f"ref= is missing in {option}", hint="write type=registry,ref=NAME[:TAG]")
    reference = Reference.parse(ref)
    if reference.digest is not None and option == TO:
        raise InvalidOption(f'"{ref}" has a digest: a cache is sent to a tag')
    return CacheOption(
        REGISTRY, ref=str(reference), insecure=fields.flag(values, "registry.insecure", option), text=ref
    )


def _local(values: dict[str, str], option: str) -> CacheOption:
    name = "dest" if option == TO else "src"
    path = values.pop(name, "")
    if not path:
        raise InvalidOption(f"{name}= is missing in {option}", hint=f"write type=local,{name}=FOLDER")
    digest = values.pop("digest", "") if option == FROM else ""
    if digest:
        Digest.parse(digest)
    tag = values.pop("tag", "") or "latest"
    if not _TAG.match(tag):
        raise InvalidOption(f'invalid tag "{tag}" in {option}')
    return CacheOption(LOCAL, path=os.path.abspath(path), tag=tag, digest=digest)


def _s3(values: dict[str, str], option: str, environ: Mapping[str, str]) -> CacheOption:
    def needed(name: str, variable: str) -> str:
        found = values.pop(name, "") or environ.get(variable, "")
        if not found:
            raise InvalidOption(f"{name}= is missing in {option}", hint=f"give it there or as ${variable}")
        return found

    names = tuple([name for name in values.pop("name", DEFAULT_NAME).split(";") if name])
    for name in names:
        if not _TAG.match(name):
            raise InvalidOption(f'invalid name "{name}" in {option}')
    bucket = Bucket(
        bucket=needed("bucket", "AWS_BUCKET"),
        region=needed("region", "AWS_REGION"),
        prefix=values.pop("prefix", ""),
        manifests=values.pop("manifests_prefix", "manifests/"),
        blobs=values.pop("blobs_prefix", "blobs/"),
        names=names or (DEFAULT_NAME,),
        endpoint=values.pop("endpoint_url", ""),
        key=values.pop("access_key_id", ""),
        secret=values.pop("secret_access_key", ""),
        token=values.pop("session_token", ""),
        path_style=fields.flag(values, "use_path_style", option),
        parallel=min(32, fields.number(values, "upload_parallelism", option) or 4),
        refresh=_seconds(values.pop("touch_refresh", "24h"), option),
    )
    return CacheOption(S3, bucket=bucket)


def _seconds(text: str, option: str) -> float:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h)", text)
    if match is None:
        raise InvalidOption(f'invalid value "{text}" for touch_refresh in {option}', hint="write 24h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
