"""Groups and targets, as files describe them, and what a command asks of them: names resolved, heirs, links, --set."""

from __future__ import annotations

import fnmatch
import re

from holdall.bake import overrides, values
from holdall.bake.plain import plain_errors
from holdall.errors import InvalidInput, NotFound
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from holdall.bake.overrides import Override

DEFAULT = "default"
LINK = "target:"
NAME = re.compile(r"[a-zA-Z0-9_-]+\Z")
MAX_TARGETS = 1000
MAX_DEPTH = 100


@record
class Target:
    """One target: what it says, by buildx's keys (values.KEYS), and the targets it inherits from, in order."""

    name: str
    values: Mapping[str, Any]
    inherits: tuple[str, ...] = ()


@record
class Group:
    """Targets and groups under one name."""

    name: str
    targets: tuple[str, ...]
    description: str = ""


@record
class Chosen:
    """What is to be built: targets by name, whole, those that others need among them, and the groups that led there.

    `linked` are targets that nobody asked for.
    """

    targets: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, tuple[str, ...]]
    linked: frozenset[str]


class Definition:
    """All groups and targets of some files."""

    def __init__(self, groups: Iterable[Group] = (), targets: Iterable[Target] = ()) -> None:
        self.groups: dict[str, Group] = {}
        self.targets: dict[str, Target] = {}
        self._heirs: dict[str, dict[str, Any]] = {}
        self.add(groups, targets)

    def add(self, groups: Iterable[Group], targets: Iterable[Target]) -> None:
        """Take those of one more file: groups grow, targets are merged. Raises InvalidInput."""
        for group in groups:
            check_name(group.name)
            old = self.groups.get(group.name)
            names = tuple(dict.fromkeys([*(old.targets if old else ()), *group.targets]))
            self.groups[group.name] = Group(
                group.name, names, group.description or (old.description if old is not None else "")
            )
        for target in targets:
            check_name(target.name)
            known = self.targets.get(target.name)
            if known is not None:
                whole = values.merged(known.values, target.values)
                target = Target(target.name, whole, tuple(dict.fromkeys([*known.inherits, *target.inherits])))
            self.targets[target.name] = target
        if len(self.targets) > MAX_TARGETS:
            raise InvalidInput(f"there are more than {MAX_TARGETS} targets")

    @plain_errors()
    def choose(self, names: Sequence[str], sets: Iterable[str], environ: Mapping[str, str]) -> Chosen:
        """What these names (groups, targets, patterns; "default" for none) stand for, with --set.

        Raises NotFound, InvalidInput, InvalidOption.
        """
        self._heirs.clear()
        changes = overrides.parse(sets, tuple(self.targets), environ)
        wanted = self._matched([name.replace(".", "_") for name in names] or [DEFAULT])
        found: dict[str, dict[str, Any]] = {}
        groups: dict[str, tuple[str, ...]] = {}
        for name in wanted:
            for target in self._members(name, groups, ()):
                found.setdefault(target, self._whole(target, changes))
        groups[DEFAULT] = tuple(sorted({*groups.get(DEFAULT, ()), *[one for one in wanted if one != DEFAULT]}))
        if groups[DEFAULT] == (DEFAULT,) or not groups[DEFAULT]:
            groups[DEFAULT] = (DEFAULT,)
        asked = set(found)
        linked: set[str] = set()
        for name in list(found):
            self._link(name, found, changes, (name,), linked)
        return Chosen(found, groups, frozenset(found.keys() - asked))

    def _matched(self, names: Iterable[str]) -> list[str]:
        found: dict[str, None] = {}
        for name in names:
            if not any(sign in name for sign in "*?["):
                found[name] = None
                continue
            fitting = [one for one in (*self.groups, *self.targets) if fnmatch.fnmatchcase(one, name)]
            if not fitting:
                raise NotFound(f'no target fits "{name}"', hint=self._hint())
            found.update(dict.fromkeys(fitting))
        return list(found)

    def _hint(self) -> str:
        names = sorted({*self.groups, *self.targets})
        return f"there are {', '.join(names[:20])}" if names else "the files describe no target"

    def _members(self, name: str, groups: dict[str, tuple[str, ...]], above: tuple[str, ...]) -> list[str]:
        """The targets of a group, or a target itself; nothing for a group that `groups` has already."""
        group = self.groups.get(name)
        if group is None or name in above:
            return [name]
        if name in groups:
            return []
        _check_depth(above)
        groups[name] = group.targets
        found: dict[str, None] = {}
        for member in group.targets:
            found.update(dict.fromkeys(self._members(member, groups, (*above, name))))
        return list(found)

    def _whole(self, name: str, changes: Mapping[str, Sequence[Override]]) -> dict[str, Any]:
        found = dict(self._inherited(name, changes, ()))
        found.setdefault("context", ".")
        found["dockerfile"] = found.get("dockerfile") or "Dockerfile"
        found["contexts"] = {key: one for key, one in found.get("contexts", {}).items() if one}
        return {key: found[key] for key in values.KEYS if key in found and found[key] not in ([], {})}

    def _inherited(
        self, name: str, changes: Mapping[str, Sequence[Override]], above: tuple[str, ...]
    ) -> dict[str, Any]:
        if name in self._heirs:
            return self._heirs[name]
        target = self.targets.get(name)
        if target is None:
            raise NotFound(f'there is no target "{name}"', hint=self._hint())
        _check_depth(above)
        found: dict[str, Any] = {}
        for parent in target.inherits:
            if parent in (*above, name):
                raise InvalidInput(f'target "{name}" inherits from itself')
            found = values.merged(found, self._inherited(parent, changes, (*above, name)))
        self._heirs[name] = overrides.applied(values.merged(found, target.values), changes.get(name, ()))
        return self._heirs[name]

    def _link(
        self,
        name: str,
        found: dict[str, dict[str, Any]],
        changes: Mapping[str, Sequence[Override]],
        above: tuple[str, ...],
        linked: set[str],
    ) -> None:
        _check_depth(above)
        for value in found[name].get("contexts", {}).values():
            if not value.startswith(LINK):
                continue
            other = value.removeprefix(LINK)
            if other in above:
                raise InvalidInput(f'target "{name}" needs "{other}", which needs it')
            if other not in found:
                found[other] = {**self._whole(other, changes), "output": ["type=cacheonly"]}
            self._check_platforms(name, other, found)
            if other not in linked:
                self._link(other, found, changes, (*above, other), linked)
        linked.add(name)

    def _check_platforms(self, name: str, other: str, found: Mapping[str, Mapping[str, Any]]) -> None:
        mine, theirs = found[name].get("platforms", []), found[other].get("platforms", [])
        if len(mine) > 1 and len(theirs) > 1 and not set(mine) <= set(theirs):
            raise InvalidInput(f'target "{name}" is for platforms that "{other}", which it needs, is not built for')


def _check_depth(above: tuple[str, ...]) -> None:
    if len(above) > MAX_DEPTH:
        raise InvalidInput(f"targets stand on each other more than {MAX_DEPTH} deep")


def check_name(name: str) -> None:
    """Raises InvalidInput for what is no name of a target or group."""
    if not NAME.match(name):
        shown = ascii(name[:80])[1:-1]
        raise InvalidInput(f'invalid name "{shown}" of a target', hint="use letters, digits, - and _")
