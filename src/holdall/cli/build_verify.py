"""`holdall build --verify`: build twice, and say whether both came to the same."""

from __future__ import annotations

from holdall.cli.builds import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.options import BuildOptions
    from holdall.cli.state import State


def verify(state: State, options: BuildOptions, *, quiet: bool, progress: str | None) -> int:
    """Exit code 0 when the second build, without the cache, gave the first one's image; else its first difference."""
    builds = state.engine.builds
    with Report(state, quiet=quiet, progress=progress) as report:
        image = builds.build(options, report=report)
    with Report(state, quiet=quiet, progress=progress) as report:
        found = builds.difference(image, options, report=report)
    if found is None:
        state.print(f"same: {image.id}")
        return 0
    state.print(f"different: {found}")
    return 1
