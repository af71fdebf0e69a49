"""Read what the engine prepared for the runtime: config.json and the compiled seccomp filter."""

from __future__ import annotations

from holdall.errors import StoreCorrupt
from holdall.oci import runtime_spec_json
from holdall.supervisor.durable import read_bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.runtime_spec import RuntimeSpec

MAX_CONFIG_BYTES = 16 << 20
MAX_FILTER_BYTES = 8 * 4096


def read_spec(folder: str) -> RuntimeSpec:
    """The config.json in a container's folder. Raises StoreCorrupt, InvalidInput."""
    try:
        return runtime_spec_json.parse(read_bounded(folder + "/config.json", MAX_CONFIG_BYTES))
    except FileNotFoundError as err:
        raise StoreCorrupt(f'"{folder}" has no config.json', hint="remove the container and create it again") from err


def read_filter(path: str | None) -> bytes | None:
    """The compiled filter (at most BPF_MAXINSNS instructions of 8 bytes, seccomp(2)), or None if there shall be none.

    Raises StoreCorrupt: a filter that has vanished must not mean no filter.
    """
    if path is None:
        return None
    try:
        return read_bounded(path, MAX_FILTER_BYTES)
    except FileNotFoundError as err:
        raise StoreCorrupt(f'the seccomp filter "{path}" is gone', hint="create the container again") from err
