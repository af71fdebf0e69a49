"""`--filter KEY=VALUE`: Docker's filters for containers, images, volumes and prunes."""

from __future__ import annotations

import re

from holdall.engine.times import parse_time
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from holdall.engine.container import Container
    from holdall.engine.containers import Containers
    from holdall.store.volumes import Volume
    from holdall.store.volumes import Volumes as VolumeStore
    from holdall.supervisor.state import State

CONTAINER = (
    "ancestor", "before", "exited", "expose", "id", "label", "name", "network", "publish", "since", "status", "volume",
)  # fmt: skip
STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")


def parse_filters(items: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`--filter KEY=VALUE` words as a mapping; a repeated key has several values. Raises InvalidOption."""
    found: dict[str, tuple[str, ...]] = {}
    for item in items:
        match = re.match(r"([\w-]+!?)=(.*)\Z", item, re.DOTALL)
        if match is None:
            raise InvalidOption(f'invalid filter "{item}"', hint="write KEY=VALUE")
        key, value = match.groups()
        found[key] = (*found.get(key, ()), value)
    return found


def check_names(filters: Mapping[str, Sequence[str]], known: Iterable[str]) -> None:
    """Refuse a filter nobody knows. Raises InvalidOption."""
    names = sorted(known)
    for key in filters:
        if key not in names:
            raise InvalidOption(f'the filter "{key}" is not supported', hint=f"use one of {', '.join(names)}")


def has_labels(labels: Mapping[str, str], wanted: Iterable[str]) -> bool:
    """Whether every KEY or KEY=VALUE is there."""
    for item in wanted:
        key, equals, value = item.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


class ContainerFilter:
    """Filters of `ps`, bound to the store for the ones that name other containers."""

    def __init__(self, containers: Containers, filters: Mapping[str, Sequence[str]]) -> None:
        check_names(filters, CONTAINER)
        for status in filters.get("status", ()):
            if status not in STATUSES:
                raise InvalidOption(f'invalid status "{status}"', hint=f"use one of {', '.join(STATUSES)}")
        for code in filters.get("exited", ()):
            if not re.fullmatch(r"-?\d+", code):
                raise InvalidOption(f'invalid exit code "{code}"')
        self.filters = filters
        self._before = [containers.get(name).created for name in filters.get("before", ())]
        self._since = [containers.get(name).created for name in filters.get("since", ())]
        self._ancestors = self._images(containers, filters.get("ancestor", ()))

    @property
    def wants_stopped(self) -> bool:
        """Whether the filters only make sense over stopped containers too."""
        return bool(set(self.filters) & {"status", "exited", "before", "since"})

    def _images(self, containers: Containers, names: Iterable[str]) -> set[str]:
        from holdall.errors import ImageNotFound

        found = set()
        for name in names:
            try:
                found.add(containers.engine.images.get(name).id)
            except ImageNotFound:
                continue
        return found

    def keeps(self, container: Container) -> bool:
        """Whether a container passes all filters (values of one key are alternatives, but for labels)."""
        tests: dict[str, Callable[[str], bool]] = {
            "id": container.id.startswith,
            "name": lambda v: (
                re.search(v, container.name) is not None or re.search(v, "/" + container.name) is not None
            ),
            "status": lambda v: display_status(container.state) == v,
            "exited": lambda v: container.state.status == "exited" and str(container.state.exit_code) == v,
            "volume": lambda v: any(v in (m.name, m.target, m.source) for m in container.config.mounts),
            "network": lambda v: container.config.options.network == v,
            "publish": lambda v: any(_port(v) == f"{p.host_port}/{p.protocol}" for p in container.state.ports),
            "expose": lambda v: _port(v) in container.config.resolved.exposed_ports,
        }
        try:
            for key, test in tests.items():
                values = self.filters.get(key)
                if values and not any(test(value) for value in values):
                    return False
        except re.error as err:
            raise InvalidOption(f"invalid pattern in a filter: {err}") from err
        if not has_labels(container.labels, self.filters.get("label", ())):
            return False
        if "ancestor" in self.filters and container.image_id not in self._ancestors:
            return False
        return all(container.created < t for t in self._before) and all(container.created > t for t in self._since)


def display_status(state: State) -> str:
    """Docker's word for a container's state: one that is starting counts as running."""
    return "running" if state.status == "starting" else state.status


def _port(text: str) -> str:
    return text if "/" in text else f"{text}/tcp"


class PruneFilter:
    """Filters of prunes: label, label!, until."""

    def __init__(self, filters: Mapping[str, Sequence[str]]) -> None:
        check_names(filters, ("label", "label!", "until"))
        self.wanted = filters.get("label", ())
        self.unwanted = filters.get("label!", ())
        self.until = min((parse_time(text) for text in filters.get("until", ())), default=None)

    def removes(self, created: int, labels: Mapping[str, str]) -> bool:
        """Whether an object of this age (ns since the epoch) and these labels is to go."""
        if self.until is not None and created >= self.until:
            return False
        if any(has_labels(labels, [item]) for item in self.unwanted):
            return False
        return has_labels(labels, self.wanted)


def volume_passes(volume: Volume, store: VolumeStore, filters: Mapping[str, Sequence[str]]) -> bool:
    """Filters of `volume ls`: name, label, dangling, driver. Raises InvalidOption."""
    check_names(filters, ("name", "label", "dangling", "driver"))
    if "name" in filters and not any(value in volume.name for value in filters["name"]):
        return False
    if "driver" in filters and "local" not in filters["driver"]:
        return False
    if "dangling" in filters:
        wanted = filters["dangling"][-1] in ("true", "1")
        if bool(store.users(volume.name)) == wanted:
            return False
    return has_labels(volume.labels, filters.get("label", ()))
