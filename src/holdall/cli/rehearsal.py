"""What a spare of the warm process does while it waits: what commands will do, as far as nothing comes of it.

Regular expressions get compiled, caches filled, and pages that a fork shares become its own when an object in them is
counted: all of that a caller would wait for otherwise.
"""

from __future__ import annotations

from holdall.cli.main import parser_of
from holdall.dockerfile import stages

DOCKERFILE = b"""# syntax=docker/dockerfile:1
ARG VERSION=1
FROM base:${VERSION} AS made
ENV NAME="a value" OTHER=$NAME
LABEL key=value
WORKDIR /work
COPY --chown=1:1 a b ./
RUN --mount=type=cache,target=/c command && \\
    other > /file
FROM scratch
COPY --from=made / /
ENTRYPOINT ["true"]
CMD ["a", "b"]
"""
COMMANDS = {
    "run": ("--rm", "-i", "-e", "A=b", "-v", "/a:/b", "-p", "80:80", "--network", "none", "image", "command", "-x"),
    "exec": ("-i", "container", "command"),
    "build": ("-q", "--network", "none", "-t", "name:tag", "--build-arg", "A=b", "."),
    "create": ("image",),
    "start": ("container",),
    "stop": ("container",),
    "rm": ("-f", "container"),
    "ps": ("-a",),
    "logs": ("container",),
    "inspect": ("container",),
}


def rehearse() -> None:
    """Read a Dockerfile and the words of some commands; nothing outside of this process is touched."""
    for command, words in COMMANDS.items():
        parser_of(command).read(list(words))
    stages.read(DOCKERFILE, "Dockerfile")
