"""Every command and every option is in docs/cli.md, and the documents point to files that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from holdall.cli.arguments import Parser
from holdall.cli.main import find_command
from holdall.cli.overview import GLOBALS
from holdall.cli.table_of_commands import ALIASES, COMMANDS, GROUPS

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PACKAGES = "cli|engine|haul|image|layer|linux|network|oci|pack|registry|runtime|store|supervisor"
PACKAGES = "cli|engine|haul|image|layer|linux|network|oci|pack|registry|runtime|store|supervisor"
SOURCE = re.compile(rf"`((?:{PACKAGES})/[\w/]+\.py)(?::(\w+))?`")


def sections() -> dict[str, str]:
    """The text of docs/cli.md under each command's heading."""
    parts = re.split(r"^## holdall (.+)$", (ROOT / "docs/cli.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def heading(command: str) -> str:
    return command.replace("_", " ")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_documented(command: str) -> None:
    module = import_module(f"holdall.cli.commands.{command}")
    parser = Parser(command, module.HELP)
    module.arguments(parser)
    text = sections()[heading(command)]
    for action in parser._actions:
        for name in action.option_strings or [str(action.metavar)]:
            assert f"`{name}`" in text, f"{name} of {command} is not in docs/cli.md: run scripts/docs"


def test_every_command_file_is_a_command() -> None:
    files = {path.stem for path in (ROOT / "src/holdall/cli/commands").glob("*.py")} - {"__init__"}
    assert files == set(COMMANDS)


def test_every_name_of_a_command_is_documented() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    names = [f"{group} {verb}" for group, members in GROUPS.items() for verb in members]
    for name in (*names, *ALIASES):
        assert f"`{name}`" in text, f"{name} is not in docs/cli.md: run scripts/docs"


def test_global_options_are_documented() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    assert all(line in text for line in GLOBALS.splitlines()[1:])


def test_commands_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/docs", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def tour() -> list[str]:
    """The lines of the README that a reader is told to paste, those that call holdall."""
    _, _, rest = (ROOT / "README.md").read_text().partition("```sh tour\n")
    return [line for line in rest.partition("```")[0].splitlines() if line.startswith("holdall ")]


@pytest.mark.parametrize("line", tour())
def test_the_tour_can_be_parsed(line: str) -> None:
    command, words = find_command(shlex.split(line)[1:])
    module = import_module(f"holdall.cli.commands.{command}")
    parser = Parser(command, module.HELP)
    module.arguments(parser)
    assert parser.read(words) is not None


def test_the_tour_goes_all_the_way() -> None:
    commands = [find_command(shlex.split(line)[1:])[0] for line in tour()]
    wanted = "pack images run exec logs cp commit save load push pull stop rm rmi system_df doctor system_reset"
    assert set(wanted.split()) <= set(commands)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_sources_exist(path: Path) -> None:
    text = path.read_text()
    for target in LINK.findall(text):
        assert "://" in target or (path.parent / target).exists(), f"{path.name} points to {target}"
    for source, name in SOURCE.findall(text):
        file = ROOT / "src/holdall" / source
        assert file.exists(), f"{path.name} names {source}"
        defined = rf"^\s*(?:async def|def|class) {name}\b|^{name}\b"
        assert not name or re.search(defined, file.read_text(), re.MULTILINE), f"{path.name} names {source}:{name}"
