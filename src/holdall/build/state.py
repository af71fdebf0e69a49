"""A stage while its instructions are walked: layers, configuration, history. A value; every step makes a new one."""

from __future__ import annotations

from holdall.oci.container_config import ContainerConfig
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.dockerfile.scope import Scope
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.history import History
    from holdall.oci.platform import Platform

DEFAULT_SHELL = ("/bin/sh", "-c")
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@record
class LayerRef:
    """A layer of the store and the descriptor that a manifest gives it; `base`: it came with a base image."""

    descriptor: Descriptor
    diff_id: Digest
    base: bool = False


@record
class State:
    """What a stage has come to. `cmd_set`: this stage has had a CMD, which ENTRYPOINT then leaves alone."""

    platform: Platform
    scope: Scope
    layers: tuple[LayerRef, ...] = ()
    config: ContainerConfig = ContainerConfig()
    history: tuple[History, ...] = ()
    author: str = ""
    cmd_set: bool = False

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """As text, base first."""
        return tuple([str(layer.diff_id) for layer in self.layers])

    @property
    def shell(self) -> tuple[str, ...]:
        """What the shell forms of commands are given to."""
        return self.config.shell or DEFAULT_SHELL

    def with_layer(self, layer: LayerRef, history: History) -> State:
        """One layer more."""
        return replace(self, layers=(*self.layers, layer), history=(*self.history, history))
