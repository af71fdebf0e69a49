"""Programs that compare times, as make and cargo do, with what they left in a cache mount: they see each edit, and
nothing but the edits; and what they are shown does not get into the image.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

MAKE = """
for name in a b lib/c; do
  if [ ! -e out/$name.o ] || [ $name.c -nt out/$name.o ]; then
    busybox mkdir -p out/lib; cat $name.c > out/$name.o; echo compiled $name
  fi
done
cat out/a.o out/b.o out/lib/c.o > /program
"""
DOCKERFILE = """
FROM bb AS before
COPY make.sh /make.sh
FROM before
ARG NUMBER
WORKDIR /src
COPY *.c ./
COPY lib lib
RUN --mount=type=cache,id={id},target=/src/out sh /make.sh{then} # {number}
RUN busybox chmod 600 a.c && echo > lib/new
"""
FILES = {"make.sh": MAKE, "a.c": "a one\n", "b.c": "b one\n", "lib/c.c": "c one\n"}


@pytest.fixture(params=["", "copy"])
def either(request: pytest.FixtureRequest, workshop: Workshop) -> Iterator[Workshop]:
    """A workshop with each driver."""
    if not request.param:
        yield workshop
        return
    with Workshop(driver=request.param) as made:
        yield made


def write(workshop: Workshop, name: str, text: str) -> None:
    """An edit that neither size nor time tell of, in another second than the build before: busybox counts those."""
    before = int(time.time())
    while int(time.time()) == before:
        time.sleep(0.05)
    with open(f"{workshop.context}/{name}", "w") as file:
        file.write(text)
    os.utime(f"{workshop.context}/{name}", (1_000_000_000, 1_000_000_000))


def compiled(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.rpartition(" ")[2] for line in done.stderr.splitlines() if "| compiled " in line]


def text(number: int = 0, then: str = "", name: str = "made") -> str:
    return DOCKERFILE.format(id=name, number=number, then=then)


def test_what_was_edited_is_made_anew_and_nothing_else(workshop: Workshop) -> None:
    workshop.fresh(FILES)
    assert compiled(workshop.attempt(text())) == ["a", "b", "lib/c"]
    assert compiled(workshop.attempt(text(1))) == []
    write(workshop, "a.c", "a two\n")
    second = workshop.attempt(text(1))
    assert compiled(second) == ["a"]
    assert workshop.shown(second.stdout.strip(), "cat", "/program") == "a two\nb one\nc one"
    # the layer of the copy comes from the cache now, and is as old as before
    write(workshop, "a.c", "a one\n")
    write(workshop, "lib/c.c", "c two\n")
    third = workshop.attempt(text(2))
    assert compiled(third) == ["a", "lib/c"]
    assert workshop.shown(third.stdout.strip(), "cat", "/program") == "a one\nb one\nc two"
    assert compiled(workshop.attempt(text(3))) == []


def test_what_a_failed_command_left_is_not_relied_on(workshop: Workshop) -> None:
    workshop.fresh(FILES)
    workshop.build(text(name="failed"))
    write(workshop, "b.c", "b two\n")
    assert "| compiled b" in workshop.fails(text(then=" && false", name="failed"))
    write(workshop, "b.c", "b one\n")
    last = workshop.attempt(text(1, name="failed"))
    assert compiled(last) == ["b"]
    assert workshop.shown(last.stdout.strip(), "cat", "/program") == "a one\nb one\nc one"


def test_the_image_is_the_same_as_one_made_from_nothing(either: Workshop) -> None:
    workshop = either
    workshop.fresh(FILES)
    workshop.build(text(name="kept"))
    write(workshop, "a.c", "a two\n")
    write(workshop, "lib/c.c", "c two\n")
    again = workshop.attempt(text(name="kept"))
    assert compiled(again) == ["a", "lib/c"]
    workshop.store.run("builder", "prune", "-af")
    fresh = workshop.attempt(text(name="kept"))
    assert compiled(fresh) == ["a", "b", "lib/c"]
    assert fresh.stdout == again.stdout


def test_builds_at_once_with_one_cache_are_not_relied_on(workshop: Workshop) -> None:
    workshop.fresh(FILES)
    workshop.build(text(name="both"))
    wait = " && sleep 2"
    write(workshop, "a.c", "a two\n")
    with workshop.begin(text(then=wait, name="both")) as slow:
        assert slow.stderr is not None
        while b"compiled a" not in (line := slow.stderr.readline()):
            assert line
        write(workshop, "a.c", "a three\n")
        workshop.build(text(1, name="both"))
        slow.communicate(timeout=60)
        assert slow.returncode == 0
    write(workshop, "b.c", "b two\n")
    # whichever was the last to write out/a.o: it is made anew
    last = workshop.attempt(text(2, name="both"))
    assert compiled(last) == ["a", "b"]
    assert workshop.shown(last.stdout.strip(), "cat", "/program") == "a three\nb two\nc one"
