"""Mount options as words (runtime-spec config.md#linux-mount-options, mount(8)) become flags."""

from __future__ import annotations

from holdall.errors import Unsupported
from holdall.linux import mount
from holdall.record import record

# word: (flag for a new file system, attribute to set, attributes to clear)
_FLAGS: dict[str, tuple[int, int, int]] = {
    "ro": (mount.MS_RDONLY, mount.ATTR_RDONLY, 0),
    "nosuid": (mount.MS_NOSUID, mount.ATTR_NOSUID, 0),
    "nodev": (mount.MS_NODEV, mount.ATTR_NODEV, 0),
    "noexec": (mount.MS_NOEXEC, mount.ATTR_NOEXEC, 0),
    "noatime": (mount.MS_NOATIME, mount.ATTR_NOATIME, mount.ATTR_ATIME),
    "strictatime": (mount.MS_STRICTATIME, mount.ATTR_STRICTATIME, mount.ATTR_ATIME),
    "relatime": (mount.MS_RELATIME, mount.ATTR_RELATIME, mount.ATTR_ATIME),
    "nodiratime": (mount.MS_NODIRATIME, mount.ATTR_NODIRATIME, 0),
    "nosymfollow": (mount.MS_NOSYMFOLLOW, mount.ATTR_NOSYMFOLLOW, 0),
    "sync": (mount.MS_SYNCHRONOUS, 0, 0),
    "dirsync": (mount.MS_DIRSYNC, 0, 0),
    "mand": (mount.MS_MANDLOCK, 0, 0),
    "lazytime": (mount.MS_LAZYTIME, 0, 0),
    "silent": (mount.MS_SILENT, 0, 0),
}
# the opposite word: what it takes back
_CLEAR = {
    "rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec", "atime": "noatime", "nostrictatime": "strictatime",
    "norelatime": "relatime", "diratime": "nodiratime", "symfollow": "nosymfollow", "async": "sync",
    "nomand": "mand", "nolazytime": "lazytime", "loud": "silent",
}  # fmt: skip
_PROPAGATION = {
    "private": mount.MS_PRIVATE,
    "slave": mount.MS_SLAVE,
    "shared": mount.MS_SHARED,
    "unbindable": mount.MS_UNBINDABLE,
}
_NOTHING = frozenset({"defaults", "bind", "rbind"})
_REFUSED = frozenset({"tmpcopyup", "idmap", "ridmap", "remount"})


@record
class MountOptions:
    """`flags` are MS_* for a new file system; `attributes`/`clear` the same as ATTR_* for a bind mount.

    `deep_attributes`/`deep_clear` hold for every mount below, too. `propagation` is 0 when not said.
    """

    flags: int = 0
    attributes: int = 0
    clear: int = 0
    deep_attributes: int = 0
    deep_clear: int = 0
    propagation: int = 0
    deep_propagation: bool = False
    bind: bool = False
    recursive: bool = False
    data: str = ""


def parse(options: tuple[str, ...]) -> MountOptions:
    """Read the words in order; a later one wins. Unknown ones are data for the file system. Raises Unsupported."""
    words: dict[str, bool] = {}
    deep: dict[str, bool] = {}
    propagation, deep_propagation = 0, False
    data: list[str] = []
    for word in options:
        if word in _FLAGS or word in _CLEAR:
            words[_CLEAR.get(word, word)] = word in _FLAGS
        elif propagation_of(word):
            propagation, deep_propagation = propagation_of(word), word.startswith("r")
        elif word[:1] == "r" and (_FLAGS.get(word[1:], (0, 0, 0))[1] or _CLEAR.get(word[1:]) in _FLAGS):
            deep[_CLEAR.get(word[1:], word[1:])] = word[1:] in _FLAGS
        elif word in _REFUSED:
            raise Unsupported(f'mount option "{word}" is not supported')
        elif word and word not in _NOTHING:
            data.append(word)
    flags = 0
    for name, on in words.items():
        flags |= _FLAGS[name][0] if on else 0
    attributes, clear = _attributes(words)
    deep_attributes, deep_clear = _attributes(deep)
    bind = "bind" in options or "rbind" in options
    joined = ",".join(data)
    return MountOptions(
        flags,
        attributes,
        clear,
        deep_attributes,
        deep_clear,
        propagation,
        deep_propagation,
        bind,
        "rbind" in options,
        joined,
    )


def _attributes(words: dict[str, bool]) -> tuple[int, int]:
    attributes = clear = 0
    for name, on in words.items():
        _flag, bit, group = _FLAGS[name]
        if on:
            attributes |= bit
            clear |= group
        else:
            clear |= group or bit
    return attributes, clear


def propagation_of(word: str) -> int:
    """MS_PRIVATE and so on for "private", "rprivate", …; 0 for other words."""
    return _PROPAGATION.get(word, 0) or (_PROPAGATION.get(word[1:], 0) if word[:1] == "r" else 0)
