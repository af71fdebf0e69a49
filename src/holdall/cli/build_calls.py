"""`holdall build --check` and `--call`: what a Dockerfile can be asked, as text and as BuildKit's JSON."""

from __future__ import annotations

from holdall.errors import DockerfileError, InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.build.checks import Checked, Needed, Outline, Target
    from holdall.build.options import BuildOptions
    from holdall.cli.state import State
    from holdall.dockerfile.location import Location, Source

METHODS = ("build", "check", "outline", "targets")
FORMATS = ("text", "json")
FENCE = "-" * 20


def parse(text: str, *, check: bool) -> tuple[str, str]:
    """Method and format of `--call METHOD[,format=FORMAT]`; `--check` is `--call=check`. Raises InvalidOption."""
    method, _, rest = text.partition(",")
    method = {"lint": "check", "": "build"}.get(method, method)
    if check:
        if method not in ("build", "check"):
            raise InvalidOption(f"--check and --call={method} contradict each other")
        method = "check"
    key, _, value = rest.partition("=")
    if method not in METHODS or (rest and (key != "format" or value not in FORMATS)):
        raise InvalidOption(
            f'invalid value "{text}" for --call', hint="use check, outline or targets, with ,format=json if need be"
        )
    return method, value or "text"


def call(state: State, method: str, form: str, options: BuildOptions) -> int:
    """Ask and print; the exit code. Raises DockerfileError."""
    builds = state.engine.builds
    if method == "check":
        return _check(state, builds.check(options), form)
    if method == "targets":
        targets = builds.targets(options)
        state.print(_json({"targets": list(map(_target_json, targets))}) if form == "json" else _targets(targets))
    else:
        outline = builds.outline(options)
        state.print(_json(_outline_json(outline)) if form == "json" else _outline(outline))
    return 0


def _check(state: State, done: Checked, form: str) -> int:
    report, source = done.report, done.source
    if form == "json":
        state.print(_json(_check_json(done)))
    else:
        if report.warnings:
            many = "1 warning" if len(report.warnings) == 1 else f"{len(report.warnings)} warnings"
            state.print(f"Check complete, {many} found:")
            for one in report.warnings:
                head = f"WARNING: {one.rule.name}" + (f" - {one.rule.url}" if one.rule.url else "")
                state.print(f"\n{head}\n{one.message}\n{_place(source, one.location)}")
                state.print(f"{FENCE}\n{source.excerpt(one.location)}\n{FENCE}")
        elif report.error is None:
            state.print("Check complete, no warnings found.")
        if report.error is not None:
            raise report.error
    return 1 if report.warnings or report.error is not None else 0


def _place(source: Source, place: Location) -> str:
    return f"{source.name}:{place.start}" + (f"-{place.end}" if place.end != place.start else "")


def _check_json(done: Checked) -> dict[str, Any]:
    import base64

    warnings = [
        {
            "ruleName": one.rule.name,
            "description": one.rule.description,
            **({"url": one.rule.url} if one.rule.url else {}),
            "detail": one.message,
            "location": _location(one.location),
        }
        for one in done.report.warnings
    ]
    text = "".join(done.source.lines).encode("utf-8", "surrogateescape")
    source = {"filename": done.source.name, "language": "Dockerfile", "data": base64.b64encode(text).decode()}
    made: dict[str, Any] = {"warnings": warnings, "sources": [source]}
    error = done.report.error
    if error is not None:
        made["buildError"] = _error(error)
    return made


def _error(error: DockerfileError) -> dict[str, Any]:
    made: dict[str, Any] = {"message": error.cause}
    if error.start:
        made["location"] = {"ranges": [_range(error.start, error.end)]}
    return made


def _location(place: Location) -> dict[str, Any]:
    return {"ranges": [_range(place.start, place.end)]}


def _range(start: int, end: int) -> dict[str, Any]:
    return {"start": {"line": start}, "end": {"line": end}}


def _targets(targets: tuple[Target, ...]) -> str:
    from holdall.cli.table import columns

    rows = [("TARGET", "DESCRIPTION")]
    for one in targets:
        name = one.name or ("" if one.default else f"{one.number}")
        rows.append((f"{name} (default)".lstrip() if one.default else name, one.description))
    return "\n".join(columns(rows))


def _target_json(one: Target) -> dict[str, Any]:
    facts = {
        "name": one.name, "default": one.default, "description": one.description, "base": one.base,
        "platform": one.platform,
    }  # fmt: skip
    return {**{key: value for key, value in facts.items() if value}, "location": _location(one.location)}


def _outline(outline: Outline) -> str:
    from holdall.cli.table import columns

    head = [("TARGET:", outline.name or "(default)")]
    if outline.description:
        head.append(("DESCRIPTION:", outline.description))
    blocks: list[list[tuple[str, ...]]] = [list(head)]
    if outline.arguments:
        rows = [(one.name, one.value or "", one.description) for one in outline.arguments]
        blocks.append([("BUILD ARG", "VALUE", "DESCRIPTION"), *rows])
    for title, needed in (("SECRET", outline.secrets), ("SSH", outline.ssh)):
        if needed:
            blocks.append([(title, "REQUIRED"), *[(one.name, "true" if one.required else "") for one in needed]])
    return "\n\n".join("\n".join(columns(block)) for block in blocks)


def _outline_json(outline: Outline) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if outline.name:
        made["name"] = outline.name
    if outline.description:
        made["description"] = outline.description
    if outline.arguments:
        made["args"] = [
            {
                "name": one.name,
                **({"description": one.description} if one.description else {}),
                **({"value": one.value} if one.value else {}),
                "location": _location(one.location),
            }
            for one in outline.arguments
        ]
    for key, needed in (("secrets", outline.secrets), ("ssh", outline.ssh)):
        if needed:
            made[key] = [_needed(one) for one in needed]
    if outline.caches:
        made["cache"] = [{"ID": one.name, "location": _location(one.location)} for one in outline.caches]
    return made


def _needed(one: Needed) -> dict[str, Any]:
    required = {"required": True} if one.required else {}
    return {"name": one.name, **required, "location": _location(one.location)}


def _json(value: object) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)
