"""Go's text/template for `--format`: fields, pipelines, variables, if, range, with, else, end."""

from __future__ import annotations

import json

from holdall.cli.format.functions import FUNCTIONS, show, truth
from holdall.cli.format.lexer import split, tokens
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Token = tuple[str, str]

MAX_DEPTH = 50
BLOCKS = ("if", "range", "with")


class Block:
    """One `if`, `range` or `with` and what stands in it."""

    def __init__(self, keyword: str, head: list[Token]) -> None:
        self.keyword = keyword
        self.head = head
        self.body: list[Any] = []
        self.otherwise: list[Any] = []


class Template:
    """A parsed template; `render` it as often as there are rows. Raises InvalidOption when it does not parse."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._nodes = _parse(text)

    def render(self, value: Any) -> str:
        """Text for one value (dicts, lists, strings, numbers). Raises InvalidOption for a field that is not there."""
        out: list[str] = []
        _Scope(value).walk(self._nodes, value, out)
        return "".join(out)


def _parse(text: str) -> list[Any]:
    root: list[Any] = []
    stack: list[tuple[Block | None, list[Any]]] = [(None, root)]
    for kind, content in split(text):
        target = stack[-1][1]
        if kind == "text":
            if content:
                target.append(content)
            continue
        found = tokens(content)
        word = found[0][1] if found and found[0][0] == "word" else ""
        if word in BLOCKS:
            block = Block(word, found[1:])
            target.append(block)
            if len(stack) > MAX_DEPTH:
                raise InvalidOption("template parsing error: nested too deep")
            stack.append((block, block.body))
        elif word == "else":
            block = _open(stack, "else")
            stack[-1] = (block, block.otherwise)
            if len(found) > 1:
                inner = Block(found[1][1], found[2:])
                block.otherwise.append(inner)
                stack[-1] = (inner, inner.body)
        elif word == "end":
            _open(stack, "end")
            stack.pop()
        elif not found:
            raise InvalidOption("template parsing error: missing value for command")
        else:
            target.append(found)
    if len(stack) > 1:
        raise InvalidOption("template parsing error: unexpected end of the template: {{end}} is missing")
    return root


def _open(stack: list[tuple[Block | None, list[Any]]], word: str) -> Block:
    block = stack[-1][0]
    if block is None:
        raise InvalidOption(f"template parsing error: unexpected {{{{{word}}}}}")
    return block


class _Scope:
    def __init__(self, root: Any) -> None:
        self.variables: dict[str, Any] = {"$": root}

    def walk(self, nodes: list[Any], dot: Any, out: list[str]) -> None:
        for node in nodes:
            if isinstance(node, str):
                out.append(node)
            elif isinstance(node, Block):
                self._block(node, dot, out)
            else:
                names, pipeline = _declaration(node)
                value = self.pipeline(pipeline, dot)
                if names:
                    self.variables[names[-1]] = value
                else:
                    out.append(show(value))

    def _block(self, block: Block, dot: Any, out: list[str]) -> None:
        names, pipeline = _declaration(block.head)
        value = self.pipeline(pipeline, dot)
        if block.keyword == "range":
            pairs = sorted(value.items()) if isinstance(value, dict) else enumerate(value or ())
            empty = True
            for key, item in pairs:
                empty = False
                if names:
                    self.variables[names[-1]] = item
                if len(names) > 1:
                    self.variables[names[0]] = key
                self.walk(block.body, item, out)
            if empty:
                self.walk(block.otherwise, dot, out)
            return
        if names:
            self.variables[names[-1]] = value
        if truth(value):
            self.walk(block.body, value if block.keyword == "with" else dot, out)
        else:
            self.walk(block.otherwise, dot, out)

    def pipeline(self, found: list[Token], dot: Any) -> Any:
        value: Any = None
        stages = _split(found, "|")
        for number, stage in enumerate(stages):
            extra = [value] if number else []
            value = self._command(stage, dot, extra)
        return value

    def _command(self, stage: list[Token], dot: Any, extra: list[Any]) -> Any:
        if not stage:
            raise InvalidOption("template parsing error: missing value for command")
        kind, text = stage[0]
        if kind == "word" and text not in ("true", "false", "nil"):
            function = FUNCTIONS.get(text)
            if function is None:
                raise InvalidOption(f'template parsing error: function "{text}" not defined')
            args = self._operands(stage[1:], dot)
            try:
                return function(*args, *extra)
            except (TypeError, IndexError, ValueError, AttributeError) as err:
                raise InvalidOption(f'template: error calling "{text}": {err}') from err
        values = self._operands(stage, dot)
        if len(values) != 1 or extra:
            raise InvalidOption(f'template: "{text}" is not a function')
        return values[0]

    def _operands(self, found: list[Token], dot: Any) -> list[Any]:
        values: list[Any] = []
        position = 0
        while position < len(found):
            kind, text = found[position]
            position += 1
            if text == "(" and kind == "punct":
                end = _closing(found, position)
                values.append(self.pipeline(found[position:end], dot))
                position = end + 1
                if position < len(found) and found[position][0] == "field":
                    values[-1] = field(values[-1], found[position][1])
                    position += 1
            else:
                values.append(self._operand(kind, text, dot))
        return values

    def _operand(self, kind: str, text: str, dot: Any) -> Any:
        if kind == "field":
            return dot if text == "." else field(dot, text)
        if kind == "string":
            return text[1:-1] if text.startswith("`") else json.loads(text)
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "variable":
            name, _, rest = text.partition(".")
            if name not in self.variables:
                raise InvalidOption(f'template parsing error: undefined variable "{name}"')
            return field(self.variables[name], "." + rest) if rest else self.variables[name]
        if text in ("true", "false", "nil"):
            return {"true": True, "false": False, "nil": None}[text]
        if text in FUNCTIONS:
            return FUNCTIONS[text]()
        raise InvalidOption(f'template parsing error: unexpected "{text}"')


def _declaration(found: list[Token]) -> tuple[list[str], list[Token]]:
    for position, (kind, _) in enumerate(found):
        if kind == "declare":
            return [text for k, text in found[:position] if k == "variable"], found[position + 1 :]
    return [], found


def _split(found: list[Token], mark: str) -> list[list[Token]]:
    stages: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += {"(": 1, ")": -1}.get(token[1], 0) if token[0] == "punct" else 0
        if token == ("punct", mark) and depth == 0:
            stages.append([])
        else:
            stages[-1].append(token)
    return stages


def _closing(found: list[Token], start: int) -> int:
    depth = 1
    for position in range(start, len(found)):
        if found[position][0] == "punct":
            depth += {"(": 1, ")": -1}.get(found[position][1], 0)
            if depth == 0:
                return position
    raise InvalidOption("template parsing error: unclosed left parenthesis")


def field(value: Any, path: str) -> Any:
    """Follow `.A.B` through dicts. Raises InvalidOption naming the field that is missing."""
    for name in path.split(".")[1:]:
        if not isinstance(value, dict):
            raise InvalidOption(f'template: can\'t evaluate field "{name}": its parent is no object')
        if name not in value:
            hint = "fields here: " + ", ".join(sorted(map(str, value))[:40]) if value else None
            raise InvalidOption(f'template: can\'t evaluate field "{name}"', hint=hint)
        value = value[name]
    return value
