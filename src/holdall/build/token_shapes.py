"""Values of ARG and ENV that look like secrets whatever their names are: they are in keys, records and perhaps images.

The check SecretsUsedInArgOrEnv (dockerfile/lint) goes by names.
"""

from __future__ import annotations

import re

from holdall.build.progress import Notice
from holdall.dockerfile.arguments import PROXIES
from holdall.dockerfile.instructions import Arg, Env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from holdall.dockerfile.stages import Dockerfile

SHAPES = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY"),
        ("a key of AWS", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("a token of GitHub", r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50})"),
        ("a token of GitLab", r"\bglpat-[A-Za-z0-9_-]{20}"),
        ("a token of npm", r"\bnpm_[A-Za-z0-9]{36}"),
        ("a token of PyPI", r"\bpypi-AgE[A-Za-z0-9_-]{40}"),
        ("a token of Docker Hub", r"\bdckr_pat_[A-Za-z0-9_-]{20}"),
        ("a token of Slack", r"\bxox[abeprs]-[0-9A-Za-z-]{20}"),
        ("a key of Stripe", r"\b[rs]k_live_[0-9A-Za-z]{20}"),
        ("a key of Google", r"\bAIza[0-9A-Za-z_-]{35}"),
        ("a signed token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\."),
        ("an address with a password", r"://[^/\s:@$]+:[^/\s:@$]+@"),
    )
)
MAX_VALUE = 1 << 16


def shape(value: str) -> str:
    """What a value looks like, "" for nothing secret."""
    return next((what for what, pattern in SHAPES if pattern.search(value[:MAX_VALUE])), "")


def notices(dockerfile: Dockerfile, build_arguments: Mapping[str, str]) -> list[Notice]:
    """A warning for each; no value is in any."""
    found = []
    for name, value in build_arguments.items():
        what = shape(value)
        if what and name.upper() not in PROXIES:
            found.append(Notice("", f'the build argument "{name}" looks like {what}: give it with --secret'))
    for line, name, value in _written(dockerfile):
        what = shape(value)
        if what:
            found.append(
                Notice(
                    "", f'the value of "{name}" looks like {what}: use RUN --mount=type=secret where it is needed', line
                )
            )
    return found


def _written(dockerfile: Dockerfile) -> Iterator[tuple[int, str, str]]:
    instructions: Iterable[object] = (
        *dockerfile.arguments, *[one for stage in dockerfile.stages for one in stage.instructions]
    )  # fmt: skip
    for one in instructions:
        if isinstance(one, Arg):
            for definition in one.definitions:
                yield one.location.start, definition.name, definition.default or ""
        elif isinstance(one, Env):
            for pair in one.pairs:
                yield one.location.start, pair.name, pair.value
