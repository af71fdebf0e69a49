"""Layers that were made before, searched for secrets that are given only now; each once for the same secrets.

That a layer was searched is remembered by a mark of the secrets, which tells nothing of them: scrypt makes it slow to
try values against it.
"""

from __future__ import annotations

import threading
from contextlib import closing

from holdall.build import keys
from holdall.build.leaks import Searched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.layers import StepLayers
    from holdall.build.needles import Needles
    from holdall.build.state import LayerRef
    from holdall.build.stop import Stop
    from holdall.store.holds import HeldContent

PIECE = 1 << 20
COST = 1 << 14
"""scrypt's n: about 50 ms and 16 MiB for a guess."""
SALT = b"holdall: what layers were searched for"


class Searching:
    """One build's. Usable from several threads."""

    def __init__(self, needles: Needles, layers: StepLayers, hold: HeldContent, stop: Stop) -> None:
        self._needles = needles
        self._layers = layers
        self._hold = hold
        self._stop = stop
        self._mark = ""
        self._lock = threading.Lock()

    def check(self, layer: LayerRef) -> None:
        """Search the layer, unless that was done. Raises DockerfileError when a secret is in it, and Cancelled."""
        if not self._needles:
            return
        with self._lock:
            stamp = keys.key("searched", (str(layer.diff_id),), self._marked())
            if self._layers.remembered(stamp) is None:
                if not self._layers.is_made(layer):
                    self._search(layer)
                self._layers.remember(stamp, "")

    def _marked(self) -> str:
        if not self._mark:
            import hashlib

            text = repr(sorted(needle for needle, _ in self._needles.found)).encode()
            self._mark = hashlib.scrypt(text, salt=SALT, n=COST, r=8, p=1, dklen=32).hex()
        return self._mark

    def _search(self, layer: LayerRef) -> None:
        from holdall.layer.compression import open_layer

        search = Searched(_Nowhere(), self._needles)
        with closing(self._hold.open(layer.descriptor)) as blob:
            tar = open_layer(blob, layer.descriptor.media_type)
            while data := tar.read(PIECE):
                self._stop.check()
                search.write(data)
        search.finish()


class _Nowhere:
    def write(self, data: bytes | memoryview, /) -> int:
        return len(data)
