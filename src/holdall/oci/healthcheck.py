"""Docker's HEALTHCHECK as an image configuration carries it."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.jsonval import JsonObject

MAX_TEST = 10_000


@record
class Healthcheck:
    """`test` is () to inherit, ("NONE",), ("CMD", …) or ("CMD-SHELL", text); times in nanoseconds, 0 for default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    @classmethod
    def from_json(cls, obj: JsonObject) -> Healthcheck:
        """Parse the `Healthcheck` member. Raises InvalidManifest."""
        return cls(
            obj.strings("Test", MAX_TEST),
            obj.integer("Interval"),
            obj.integer("Timeout"),
            obj.integer("StartPeriod"),
            obj.integer("StartInterval"),
            obj.integer("Retries"),
        )

    def to_json(self) -> dict[str, object]:
        """The JSON object, zero values left out as Docker does."""
        made: dict[str, object] = {
            "Test": list(self.test),
            "Interval": self.interval,
            "Timeout": self.timeout,
            "StartPeriod": self.start_period,
            "StartInterval": self.start_interval,
            "Retries": self.retries,
        }
        return {key: value for key, value in made.items() if value}
