"""Frozen value types without the import cost of `dataclasses` (it pulls in `inspect`: 10–16 ms of a 45 ms run).

`@record` turns an annotated class into an immutable value with `__init__`, `__eq__`, `__hash__` and
`__repr__`; type checkers see an ordinary frozen dataclass. Defaults are shared between instances, so they
must be immutable values or mappings and sequences that nobody changes. See docs/decisions/0001.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, dataclass_transform

    T = TypeVar("T")


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    cls = type(self)
    names: tuple[str, ...] = cls.__record_fields__
    values = self.__dict__
    if len(args) > len(names):
        raise TypeError(f"{cls.__name__} takes {len(names)} values, {len(args)} given")
    values.update(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name in values or name not in names:
            raise TypeError(f"{cls.__name__} got an unexpected or doubled value {name!r}")
        values[name] = value
    if len(values) < len(names):
        defaults: dict[str, Any] = cls.__record_defaults__
        for name in names:
            if name not in values:
                if name not in defaults:
                    raise TypeError(f"{cls.__name__} needs a value for {name!r}")
                values[name] = defaults[name]
    post = getattr(self, "__post_init__", None)
    if post is not None:
        post()


def _astuple(value: Any) -> tuple[Any, ...]:
    values = value.__dict__
    return tuple([values[name] for name in type(value).__record_fields__])


def _eq(self: Any, other: object) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return _astuple(self) == _astuple(other)


def _hash(self: Any) -> int:
    return hash((type(self), _astuple(self)))


def _repr(self: Any) -> str:
    inner = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
    return f"{type(self).__name__}({inner})"


def _frozen(self: Any, name: str, _value: Any = None) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: cannot change {name!r}")


def _make(cls: Any) -> Any:
    names: list[str] = []
    defaults: dict[str, Any] = {}
    for base in cls.__mro__[1:]:
        names += [name for name in getattr(base, "__record_fields__", ()) if name not in names]
        defaults = {**getattr(base, "__record_defaults__", {}), **defaults}
    for name in cls.__annotations__ if "__annotations__" in cls.__dict__ else ():
        if name not in names:
            names.append(name)
        if name in cls.__dict__:
            defaults[name] = cls.__dict__[name]
    cls.__record_fields__ = tuple(names)
    cls.__record_defaults__ = defaults
    cls.__init__ = _init
    for name, method in (("__eq__", _eq), ("__hash__", _hash), ("__repr__", _repr)):
        if name not in cls.__dict__ or (name == "__hash__" and cls.__dict__[name] is None):
            setattr(cls, name, method)
    cls.__setattr__ = _frozen
    cls.__delattr__ = _frozen
    return cls


if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True)
    def record(cls: type[T]) -> type[T]:
        """Make `cls` a frozen value type; its annotated names are its fields, in order."""
        raise NotImplementedError

else:
    record: Callable[[type], type] = _make


def replace(value: T, **changes: Any) -> T:
    """Return a copy of a record with some fields changed. Raises TypeError for a name that is no field."""
    current: dict[str, Any] = dict(value.__dict__)
    for name in changes:
        if name not in current:
            raise TypeError(f"{type(value).__name__} has no field {name!r}")
    current.update(changes)
    return type(value)(**current)


def fields(value: Any) -> tuple[str, ...]:
    """Names of a record's fields, in order."""
    names: tuple[str, ...] = type(value).__record_fields__
    return names
