"""Docker's manner of options on top of argparse: `-it`, `--flag=false`, and options that end at the first word.

argparse alone would take `--rm=false` for an error and swallow words after optional values; so the words are
normalised first, with the parser's own table of options, and argparse sees one `--name=value` each.
"""

from __future__ import annotations

import argparse
import sys

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TRUE = ("1", "t", "true")
FALSE = ("0", "f", "false")


def boolean(text: str) -> bool:
    """Go's strconv.ParseBool. Raises ValueError."""
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(text)


class Parser(argparse.ArgumentParser):
    """One command's options. `read` returns them, or None after printing help."""

    def __init__(self, command: str, help_text: str) -> None:
        name = command.replace("_", " ")
        super().__init__(
            f"holdall {name}",
            description=help_text,
            add_help=False,
            allow_abbrev=False,
            # with a width argparse need not ask for the terminal's, which imports shutil and its compressors
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=100),
        )
        self.flags: set[str] = set()
        self.stop_at_word = False
        self.flag("--help", help="show this text")

    def flag(self, *names: str, help: str, default: bool = False, dest: str | None = None) -> None:
        """Add a boolean option: `--x`, `--x=true`, `--x=false`."""
        self.flags.update(names)
        more: dict[str, Any] = {"dest": dest} if dest else {}
        self.add_argument(
            *names, type=boolean, default=default, nargs="?", const=True, metavar="BOOL", help=help, **more
        )

    def value(
        self,
        *names: str,
        help: str,
        metavar: str = "VALUE",
        default: Any = None,
        type: Callable[[str], Any] = str,
        dest: str | None = None,
    ) -> None:
        """Add an option with one value; the last one given counts."""
        more: dict[str, Any] = {"dest": dest} if dest else {}
        self.add_argument(*names, help=help, metavar=metavar, default=default, type=type, **more)

    def values(self, *names: str, help: str, metavar: str = "VALUE", dest: str | None = None) -> None:
        """Add an option that may be repeated; gives a list."""
        more: dict[str, Any] = {"dest": dest} if dest else {}
        self.add_argument(*names, help=help, metavar=metavar, action="append", default=[], **more)

    def word(self, name: str, *, help: str, nargs: str | None = None, metavar: str | None = None) -> None:
        """Add a positional word."""
        self.add_argument(name, help=help, nargs=nargs, metavar=metavar or name.upper())

    def rest(self, name: str, *, help: str) -> None:
        """Everything from the first word on belongs to the words: options end there (run, create, exec)."""
        self.stop_at_word = True
        self.add_argument(name, help=help, nargs="*", metavar=name.upper())

    def read(self, argv: list[str]) -> argparse.Namespace | None:
        """Parse, or print the help and return None. Raises InvalidOption."""
        options, words = self._normalise(argv)
        if "--help=true" in options:
            sys.stdout.write(self.format_help())
            return None
        return self.parse_args([*options, "--", *words] if words else options)

    def error(self, message: str) -> Any:
        """Raise InvalidOption in place of argparse's exit."""
        raise InvalidOption(message, hint=f"see {self.prog} --help")

    def _normalise(self, argv: list[str]) -> tuple[list[str], list[str]]:
        options: list[str] = []
        words: list[str] = []
        queue = list(argv)
        while queue:
            token = queue.pop(0)
            if token == "--":
                words += queue
                break
            if not token.startswith("-") or token == "-":
                words.append(token)
                if self.stop_at_word:
                    words += queue
                    break
            elif token.startswith("--"):
                options.append(self._long(token, queue))
            else:
                options += self._short(token, queue)
        return options, words

    def _long(self, token: str, queue: list[str]) -> str:
        name, equals, _ = token.partition("=")
        if name not in self._option_string_actions:
            import difflib

            near = difflib.get_close_matches(name, list(self._option_string_actions), 1, 0.75)
            raise InvalidOption(
                f'the option "{name}" is not supported',
                hint=f"did you mean {near[0]}?" if near else f"see {self.prog} --help",
            )
        if equals:
            return token
        if name in self.flags:
            return f"{name}=true"
        return f"{name}={self._next(name, queue)}"

    def _short(self, token: str, queue: list[str]) -> list[str]:
        found = []
        body = token[1:]
        while body:
            name = "-" + body[0]
            action = self._option_string_actions.get(name)
            if action is None:
                raise InvalidOption(f'the option "{name}" is not supported', hint=f"see {self.prog} --help")
            long = next((s for s in action.option_strings if s.startswith("--")), name)
            body = body[1:]
            if name in self.flags:
                value = "true"
                if body.startswith("="):
                    value, body = body[1:], ""
            else:
                value = body.removeprefix("=") if body else self._next(name, queue)
                body = ""
            found.append(f"{long}={value}" if long.startswith("--") else f"{long}{value}")
        return found

    def _next(self, name: str, queue: list[str]) -> str:
        if not queue:
            raise InvalidOption(f"the option {name} needs a value", hint=f"see {self.prog} --help")
        return queue.pop(0)
