from __future__ import annotations

import pytest

from holdall.errors import Unsupported
from holdall.linux import mount
from holdall.runtime.mount_options import MountOptions, parse, propagation_of


def test_words_become_flags_and_the_rest_is_data() -> None:
    found = parse(("nosuid", "noexec", "strictatime", "mode=755", "size=64k"))
    assert found.flags == mount.MS_NOSUID | mount.MS_NOEXEC | mount.MS_STRICTATIME
    assert found.data == "mode=755,size=64k"
    assert not found.bind


def test_a_later_word_wins() -> None:
    assert parse(("ro", "rw")).flags == 0
    assert parse(("ro", "rw")).attributes == 0
    assert parse(("ro", "rw")).clear == mount.ATTR_RDONLY
    assert parse(("rw", "ro")).attributes == mount.ATTR_RDONLY


def test_access_time_words_clear_the_whole_group() -> None:
    found = parse(("noatime",))
    assert (found.attributes, found.clear) == (mount.ATTR_NOATIME, mount.ATTR_ATIME)
    assert parse(("relatime",)).clear == mount.ATTR_ATIME
    assert parse(("atime",)).clear == mount.ATTR_ATIME


def test_recursive_words() -> None:
    found = parse(("rbind", "rro", "rnosuid", "rdev"))
    assert found.deep_attributes == mount.ATTR_RDONLY | mount.ATTR_NOSUID
    assert found.deep_clear == mount.ATTR_NODEV
    assert found.attributes == found.flags == 0
    assert found.recursive
    assert parse(("rrw",)).deep_clear == mount.ATTR_RDONLY


@pytest.mark.parametrize(
    ("word", "flag", "deep"),
    [("private", mount.MS_PRIVATE, False), ("rslave", mount.MS_SLAVE, True), ("rshared", mount.MS_SHARED, True),
     ("unbindable", mount.MS_UNBINDABLE, False)],
)  # fmt: skip
def test_propagation(word: str, flag: int, deep: bool) -> None:
    found = parse(("bind", word))
    assert (found.propagation, found.deep_propagation) == (flag, deep)
    assert propagation_of(word) == flag


def test_words_that_only_look_recursive_are_data() -> None:
    assert parse(("rsize=8192", "relatime", "rfoo")).data == "rsize=8192,rfoo"
    assert propagation_of("rw") == 0


@pytest.mark.parametrize("word", ["idmap", "ridmap", "tmpcopyup"])
def test_unsupported_words_are_refused(word: str) -> None:
    with pytest.raises(Unsupported, match=word):
        parse((word,))


def test_nothing_said_is_the_default() -> None:
    assert parse(()) == parse(("defaults",)) == MountOptions()
