"""Platforms (image-spec image-index.md): names normalised and ordered as containerd/platforms does."""

from __future__ import annotations

import os
import re

from holdall.errors import ImageNotFound, InvalidInput
from holdall.oci import mediatype
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdall.oci.descriptor import Descriptor
    from holdall.oci.jsonval import JsonObject

MAX_SHOWN = 20
MAX_FEATURES = 100

_OS = r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?"
_PART = r"[A-Za-z0-9_.-]+"
_ARCHITECTURES = {
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "loongarch64": ("loong64", ""),
    "ppc64el": ("ppc64le", ""),
}
_KNOWN_ARCHITECTURES = frozenset(
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split()
)
_KNOWN_OSES = frozenset(
    "aix android darwin dragonfly freebsd illumos ios js linux macos netbsd openbsd plan9 solaris windows".split()
)
_DEFAULT_VARIANTS = {("arm", ""): "v7", ("arm64", "v8"): "", ("arm64", "v8.0"): "", ("amd64", "v1"): ""}


@record
class Platform:
    """What an image runs on; `str()` is `os/architecture[/variant]`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Parse `os`, `architecture`, `os/architecture` or `os/architecture/variant`, normalised.

        What is not said is the host's. Raises InvalidInput.
        """
        parts = text.split("/")
        first = re.fullmatch(_OS, parts[0])
        if first is None or len(parts) > 3 or not all(re.fullmatch(_PART, part) for part in parts[1:]):
            raise _invalid(text)
        name, version = first[1], first[2] or ""
        if len(parts) > 1:
            return cls(name, parts[1], parts[2] if len(parts) == 3 else "", version).normalised()
        here = host()
        if name.lower() in _KNOWN_OSES:
            return replace(here, os=name, os_version=version).normalised()
        made = cls(here.os, name).normalised()
        if version or made.architecture not in _KNOWN_ARCHITECTURES:
            raise _invalid(text)
        return made

    @classmethod
    def from_json(cls, obj: JsonObject) -> Platform:
        """Parse a descriptor's `platform` as it is written, not normalised."""
        return cls(
            obj.need_string("os"),
            obj.need_string("architecture"),
            obj.string("variant"),
            obj.string("os.version"),
            obj.strings("os.features", MAX_FEATURES),
        )

    def to_json(self) -> dict[str, object]:
        """The JSON object, keys in the order of Go's v1.Platform."""
        made: dict[str, object] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            made["os.version"] = self.os_version
        if self.os_features:
            made["os.features"] = list(self.os_features)
        if self.variant:
            made["variant"] = self.variant
        return made

    def normalised(self) -> Platform:
        """Aliases resolved (x86_64, aarch64, macos, arm64/v8 …), lower case, arm's default variant v7 filled in."""
        name = self.os.lower()
        architecture, implied = _ARCHITECTURES.get(self.architecture.lower(), (self.architecture.lower(), ""))
        variant = self.variant.lower() or implied
        if architecture in ("arm", "arm64", "amd64") and variant[:1].isdigit():
            variant = "v" + variant
        variant = _DEFAULT_VARIANTS.get((architecture, variant), variant)
        return replace(self, os="darwin" if name == "macos" else name, architecture=architecture, variant=variant)

    def matches(self, candidate: Platform) -> bool:
        """Whether an image for `candidate` runs on this platform."""
        return self.distance(candidate) is not None

    def distance(self, candidate: Platform) -> int | None:
        """How far `candidate` is from this platform: 0 exact, more is worse, None does not run."""
        want, have = self.normalised(), candidate.normalised()
        if want.os != have.os or (want.os_version and have.os_version and want.os_version != have.os_version):
            return None
        for position, (architecture, variant) in enumerate(_compatible(want.architecture, want.variant)):
            if (architecture, variant) == (have.architecture, have.variant):
                return position
        return None

    def __str__(self) -> str:
        version = f"({self.os_version})" if self.os_version else ""
        tail = f"/{self.variant}" if self.variant else ""
        return f"{self.os}{version}/{self.architecture}{tail}"


def _invalid(text: str) -> InvalidInput:
    return InvalidInput(
        f'invalid platform "{ascii(text[:100])[1:-1]}"', hint="write os/architecture[/variant], for example linux/arm64"
    )


def _compatible(architecture: str, variant: str) -> list[tuple[str, str]]:
    """(architecture, variant) pairs that run there, best first."""
    level = variant[1:]
    if architecture == "amd64":
        top = int(level) if level in ("2", "3", "4") else 1
        older = [("amd64", f"v{n}" if n > 1 else "") for n in range(top, 0, -1)]
        return ([] if variant == "" or top > 1 else [(architecture, variant)]) + older + [("386", "")]
    if architecture == "arm":
        if level not in ("5", "6", "7", "8"):
            return [(architecture, variant)]
        return [("arm", f"v{n}") for n in range(int(level), 4, -1)]
    if architecture == "arm64":
        return _arm64(variant) + [("arm", f"v{n}") for n in (8, 7, 6, 5)]
    return [(architecture, variant)]


def _arm64(variant: str) -> list[tuple[str, str]]:
    match = re.fullmatch(r"v([89])(?:\.(\d))?", variant)
    if match is None:
        return [("arm64", variant)] if variant in ("", "v8") else [("arm64", variant), ("arm64", "")]
    major, minor = int(match[1]), int(match[2] or 0)
    names = []
    if major == 9:
        names = [f"v9.{n}" if n else "v9" for n in range(minor, -1, -1)]
        minor += 5
    names += [f"v8.{n}" if n else "" for n in range(minor, -1, -1)]
    return [("arm64", name) for name in names]


def host() -> Platform:
    """The platform of the running kernel."""
    name = os.uname()
    return Platform(name.sysname.lower(), name.machine).normalised()


def candidates(descriptors: Iterable[Descriptor], wanted: Platform) -> tuple[Descriptor, ...]:
    """Members of an index that may serve `wanted`: best platform first, then those that name none."""
    rated: list[tuple[int, Descriptor]] = []
    for one in descriptors:
        if not (mediatype.is_manifest(one.media_type) or mediatype.is_index(one.media_type)):
            continue
        if one.platform is not None:
            distance = wanted.distance(one.platform)
            if distance is not None:
                rated.append((distance, one))
        elif one.artifact_type is None and "vnd.docker.reference.type" not in (one.annotations or {}):
            rated.append((1000, one))
    rated.sort(key=lambda pair: pair[0])
    return tuple([one for _, one in rated])


def choose(descriptors: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    """The member of an index to use on `wanted`. Raises ImageNotFound that lists the platforms there are."""
    found = candidates(descriptors, wanted)
    if not found:
        raise no_match(descriptors, wanted)
    return found[0]


def no_match(descriptors: Iterable[Descriptor], wanted: Platform) -> ImageNotFound:
    """The error for an index that has nothing for `wanted`."""
    names = {str(one.platform.normalised()) for one in descriptors if one.platform and one.platform.os != "unknown"}
    shown = sorted(ascii(name)[1:-1][:60] for name in names)
    more = f" and {len(shown) - MAX_SHOWN} more" if len(shown) > MAX_SHOWN else ""
    listed = ", ".join(shown[:MAX_SHOWN]) + more
    return ImageNotFound(
        f'no image for platform "{wanted}"',
        hint=f"choose one of the available platforms with --platform: {listed}"
        if names
        else "the index names no platform",
    )
