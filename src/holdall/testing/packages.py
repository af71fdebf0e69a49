"""A server of packages on loopback that counts what it sends."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self


class PackageServer:
    """A context manager. A package is what `content` makes of its path; `sent` counts bytes, `names` lists paths."""

    def __init__(self, content: Callable[[str], bytes]) -> None:
        self.sent = 0
        self.names: list[str] = []
        counts = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = content(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                counts.sent += len(body)
                counts.names.append(self.path)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def forget(self) -> None:
        """Begin to count anew."""
        self.sent, self.names = 0, []
