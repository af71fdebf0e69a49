"""`--chmod`: permissions in octal, or changes in chmod(1)'s symbolic notation, with no umask."""

from __future__ import annotations

from holdall.errors import DockerfileError
from holdall.record import record

ALL, STICKY = 0o6777, 0o1000
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o007, "a": 0o6777}
_READ_WRITE_EXECUTE = {"r": 0o444, "w": 0o222, "x": 0o111}
_SHIFT = {"u": 6, "g": 3, "o": 0}
MAX_LENGTH = 200


@record
class _Action:
    """One `+rw`. `who` are the bits it may change, 0 for no one named; `copied` is "u", "g" or "o" for `g=u`."""

    who: int
    operator: str
    bits: int
    conditional: bool
    copied: str = ""


@record
class Mode:
    """What becomes of permissions. `fixed` is the octal form, None for changes."""

    fixed: int | None
    actions: tuple[_Action, ...] = ()

    def applied(self, mode: int, *, is_folder: bool) -> int:
        """The permission bits in place of `mode`."""
        if self.fixed is not None:
            return self.fixed
        executable = is_folder or bool(mode & 0o111)
        for action in self.actions:
            mode = _changed(mode, action, executable=executable)
        return mode


def parse(text: str) -> Mode | None:
    """What `text` says; None for "". Raises DockerfileError."""
    if not text:
        return None
    if text[0].isdigit():
        if not text.isascii() or len(text) > 8 or text.strip("01234567") or int(text, 8) > 0o7777:
            raise DockerfileError(f'--chmod="{text}" is no mode', hint="give octal digits up to 7777, as 755")
        return Mode(int(text, 8))
    actions: list[_Action] = []
    for clause in text[:MAX_LENGTH].split(","):
        actions += _clause(clause, text)
    if len(text) > MAX_LENGTH:
        raise _malformed(text)
    return Mode(None, tuple(actions))


def _clause(clause: str, text: str) -> list[_Action]:
    at = len(clause) - len(clause.lstrip("ugoa"))
    who = 0
    for letter in clause[:at]:
        who |= _WHO[letter]
    actions = []
    while at < len(clause):
        operator = clause[at]
        end = at + 1
        while end < len(clause) and clause[end] not in "+-=":
            end += 1
        if operator not in "+-=":
            raise _malformed(text)
        actions += _action(who, operator, clause[at + 1 : end], text)
        at = end
    if not actions:
        raise _malformed(text)
    return actions


def _action(who: int, operator: str, letters: str, text: str) -> list[_Action]:
    if letters in _SHIFT:
        return [_Action(who, operator, 0, conditional=False, copied=letters)]
    bits = 0
    conditional = False
    for letter in letters:
        if letter in _READ_WRITE_EXECUTE:
            bits |= _READ_WRITE_EXECUTE[letter]
        elif letter == "s":
            # of "others" alone it means nothing
            bits |= 0o6000 if who == 0 or who & ~0o007 else 0
        elif letter == "t":
            bits |= STICKY if who == 0 or who & ~0o007 else 0
        elif letter == "X":
            conditional = operator != "-"
            bits |= 0 if conditional else 0o111
        else:
            raise _malformed(text)
    return [_Action(who, operator, bits, conditional=conditional)]


def _changed(mode: int, action: _Action, *, executable: bool) -> int:
    # set-ID bits are of whoever is named; the sticky bit changes only where it is written
    named = action.who or ALL
    reach = named | (action.bits & STICKY)
    if action.copied:
        source = mode >> _SHIFT[action.copied] & 7
        bits = (source << 6 | source << 3 | source) & named
    else:
        bits = (action.bits | (0o111 if action.conditional and executable else 0)) & reach
    if action.operator == "+":
        return mode | bits
    if action.operator == "-":
        return mode & ~bits
    return mode & ~named | bits


def _malformed(text: str) -> DockerfileError:
    return DockerfileError(
        f'--chmod="{text[:MAX_LENGTH]}" is no mode', hint="give octal digits as 755, or changes as u=rwX,go=rX"
    )
