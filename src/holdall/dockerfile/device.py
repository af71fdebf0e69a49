"""`RUN --device=…`: a CDI device."""

from __future__ import annotations

from holdall.dockerfile import values
from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError
from holdall.record import record


@record
class Device:
    """A device by its CDI name or class; `required`: the step fails without it."""

    name: str = ""
    required: bool = False


def parse(text: str) -> Device:
    """The device `text` describes. Raises DockerfileError."""
    name, required = "", False
    for field in values.fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if key == "required":
            required = values.truth("required", value) if equals else True
        elif key == "name" and equals:
            if name:
                raise DockerfileError(f'the device is already named "{name}"')
            name = value
        elif not name:
            # CDI names hold an equals sign themselves: vendor/class=device
            name = field
        elif equals:
            raise DockerfileError(f'unexpected key "{key}" in "{field}"', hint=hint(key, ("name", "required")))
        else:
            raise DockerfileError(f'"{field}" must be key=value')
    return Device(name, required)
