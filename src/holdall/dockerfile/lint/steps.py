"""Rules about the instructions of a stage, walked with its variables."""

from __future__ import annotations

import re

from holdall.dockerfile import ignore, ports
from holdall.dockerfile.arguments import NEVER_IN_ENVIRONMENT
from holdall.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    FileTransfer,
    Healthcheck,
    Instruction,
    Label,
    Shell,
    Workdir,
)
from holdall.dockerfile.lint import rules
from holdall.dockerfile.suggest import nearest
from holdall.errors import DockerfileError
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.dockerfile.ignore import IgnoreRules
    from holdall.dockerfile.lint.report import Collector
    from holdall.dockerfile.lint.rules import Rule
    from holdall.dockerfile.scope import Scope, Settings
    from holdall.dockerfile.stages import Stage

_SECRET = re.compile(r"(?i)(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.ASCII)
_NO_SECRET = re.compile(r"(?i)(?:_|^)(?:public|file|version)(?:_|$)", re.ASCII)
_ONCE = (Cmd, Entrypoint, Healthcheck)
_WHOLE_CONTEXT = ("*", "**", "**/*")


@record
class State:
    """What is known at a point of a stage. `base_known` is False when the base image's config was not at hand."""

    scope: Scope
    base_known: bool = True
    has_shell: bool = False
    has_workdir: bool = False


class Walk:
    """Checks one stage, instruction by instruction."""

    def __init__(self, state: State, settings: Settings, rules_of_context: IgnoreRules | None, out: Collector) -> None:
        self.state = state
        self._settings = settings
        self._ignore = rules_of_context
        self._out = out
        self._last: dict[type[Instruction], Instruction] = {}

    def run(self, stage: Stage) -> State:
        """Walk the stage; returns the state at its end."""
        for instruction in stage.instructions:
            self._once(instruction)
            try:
                expansion, after = self.state.scope.step(instruction, self._settings)
            except DockerfileError as err:
                self._out.fail(err)
                continue
            self._undefined(instruction, expansion.missing)
            self._one(expansion.instruction)
            self.state = replace(self.state, scope=after)
        return self.state

    def _warn(self, rule: Rule, message: str, instruction: Instruction) -> None:
        self._out.add(rule, message, instruction.location, instruction.comments)

    def _one(self, found: Instruction) -> None:
        if isinstance(found, (Env, Label)):
            self._pairs(found)
        elif isinstance(found, Arg):
            for definition in found.definitions:
                self._secret("ARG", definition.name, found)
        elif isinstance(found, (Cmd, Entrypoint)):
            self._exec_form(found)
        elif isinstance(found, Shell):
            self.state = replace(self.state, has_shell=True)
        elif isinstance(found, Workdir):
            self._workdir(found)
        elif isinstance(found, Expose):
            self._ports(found)
        elif isinstance(found, Add) or (isinstance(found, Copy) and not found.source):
            self._ignored(found)

    def _once(self, instruction: Instruction) -> None:
        if not isinstance(instruction, _ONCE):
            return
        before = self._last.get(type(instruction))
        if before is not None:
            message = (
                f"Multiple {instruction.keyword} instructions should not be used in the same stage because only the "
                "last one will be used"
            )
            self._warn(rules.MULTIPLE_INSTRUCTIONS_DISALLOWED, message, before)
        self._last[type(instruction)] = instruction

    def _undefined(self, instruction: Instruction, missing: frozenset[str]) -> None:
        scope = self.state.scope
        declared = {name for name, _ in scope.declared}
        if isinstance(instruction, Arg):
            declared |= {definition.name for definition in instruction.definitions[:-1]}
        for name in sorted(missing - declared):
            near = nearest(name, scope.env)
            if name in NEVER_IN_ENVIRONMENT or not (self.state.base_known or near):
                continue
            message = f"Usage of undefined variable '${name}'" + (f" (did you mean ${near}?)" if near else "")
            self._warn(rules.UNDEFINED_VAR, message, instruction)

    def _pairs(self, found: Env | Label) -> None:
        for pair in found.pairs:
            if pair.legacy:
                word = found.keyword
                message = f'"{word} key=value" should be used instead of legacy "{word} key value" format'
                self._warn(rules.LEGACY_KEY_VALUE_FORMAT, message, found)
            if isinstance(found, Env):
                self._secret("ENV", pair.name, found)

    def _secret(self, keyword: str, name: str, found: Instruction) -> None:
        if is_secret_name(name):
            message = f'Do not use ARG or ENV instructions for sensitive data ({keyword} "{name}")'
            self._warn(rules.SECRETS_USED_IN_ARG_OR_ENV, message, found)

    def _exec_form(self, found: Cmd | Entrypoint) -> None:
        if found.command.is_shell and not self.state.has_shell:
            message = (
                f"JSON arguments recommended for {found.keyword} to prevent unintended behavior related to OS signals"
            )
            self._warn(rules.JSON_ARGS_RECOMMENDED, message, found)

    def _workdir(self, found: Workdir) -> None:
        if not self.state.has_workdir and not found.path.startswith("/"):
            message = f'Relative workdir "{found.path}" can have unexpected results if the base image changes'
            self._warn(rules.WORKDIR_RELATIVE_PATH, message, found)
        self.state = replace(self.state, has_workdir=True)

    def _ports(self, found: Expose) -> None:
        for text in found.ports:
            try:
                port = ports.parse(text)
            except DockerfileError as err:
                source = self._settings.source
                self._out.fail(source.error(err.cause, found.location, err.hint) if source else err)
                continue
            if port.protocol != port.protocol.lower():
                message = f"Defined protocol '{text}' in EXPOSE instruction should be lowercase"
                self._warn(rules.EXPOSE_PROTO_CASING, message, found)
            if port.has_host_part:
                message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'"
                self._warn(rules.EXPOSE_INVALID_FORMAT, message, found)

    def _ignored(self, found: FileTransfer) -> None:
        # with exceptions among the patterns a folder may be left out and a file in it kept: no telling from here
        if self._ignore is None or self._ignore.has_exceptions:
            return
        verb = "Add" if isinstance(found, Add) else "Copy"
        for word in found.sources:
            if isinstance(found, Add) and "://" in word:
                continue
            path = ignore.clean(word)
            if self._leaves_out(self._ignore, path):
                message = f'Attempting to {verb} file "{path}" that is excluded by .dockerignore'
                self._warn(rules.COPY_IGNORED_FILE, message, found)

    @staticmethod
    def _leaves_out(context: IgnoreRules, path: str) -> bool:
        if path in (".", "/"):
            return any(rule.pattern.text in _WHOLE_CONTEXT for rule in context.rules)
        return context.ignores(path.lstrip("/"))


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name looks like it holds a secret."""
    return _SECRET.search(name) is not None and _NO_SECRET.search(name) is None


def environment_of(entries: Mapping[str, str] | None) -> dict[str, str]:
    """A base image's variables; PATH is always set."""
    return {"PATH": "", **(entries or {})}
