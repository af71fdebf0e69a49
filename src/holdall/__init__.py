"""Holdall: a container platform. `from holdall import Engine` is the whole public face."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.aio import AsyncEngine
    from holdall.engine.engine import Engine

__version__ = "0.1.0"
__all__ = ["AsyncEngine", "Engine", "__version__"]


def __getattr__(name: str) -> object:
    # importing any submodule imports this file first: the engine must not come along with it
    if name == "Engine":
        from holdall.engine.engine import Engine

        return Engine
    if name == "AsyncEngine":
        from holdall.engine.aio import AsyncEngine

        return AsyncEngine
    raise AttributeError(f"module 'holdall' has no attribute {name!r}")
