"""Credential helpers: docker-credential-NAME get, store, erase over stdin and stdout, bounded in time and size.

Counterpart: github.com/docker/docker-credential-helpers. A user name "<token>" marks an identity token.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import time

from holdall.errors import InvalidInput, SystemFailure
from holdall.oci.jsonval import load_object
from holdall.record import record
from holdall.registry.credential import Credential
from holdall.registry.failures import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 60.0
"""A helper may ask its user to unlock a key ring."""

MAX_OUTPUT = 64 << 10
TOKEN_USER = "<token>"
NOT_FOUND = "credentials not found in native keychain"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@record
class Helper:
    """One helper program. Raises InvalidInput when it is missing, SystemFailure when it fails."""

    name: str
    environ: Mapping[str, str]
    timeout: float = TIMEOUT

    @property
    def program(self) -> str:
        """The program's name."""
        return f"docker-credential-{self.name}"

    def get(self, server: str) -> Credential | None:
        """What it keeps for a server, None when nothing."""
        status, output = self._run("get", server.encode())
        if status:
            if output.decode(errors="replace").strip() == NOT_FOUND:
                return None
            raise self._failed("get", output)
        obj = load_object(output, f'answer of "{self.program}"', error=SystemFailure)
        user, secret = obj.string("Username"), obj.string("Secret")
        if not secret:
            return None
        return Credential(identity_token=secret) if user == TOKEN_USER else Credential(user, secret)

    def store(self, server: str, credential: Credential) -> None:
        """Keep a credential."""
        user = TOKEN_USER if credential.identity_token else credential.username
        secret = credential.identity_token or credential.password
        wanted = json.dumps({"ServerURL": server, "Username": user, "Secret": secret}).encode()
        status, output = self._run("store", wanted)
        if status:
            raise self._failed("store", output)

    def erase(self, server: str) -> None:
        """Forget a server; no error when it is not known."""
        status, output = self._run("erase", server.encode())
        if status and output.decode(errors="replace").strip() != NOT_FOUND:
            raise self._failed("erase", output)

    def _failed(self, verb: str, output: bytes) -> SystemFailure:
        said = shown(output.decode(errors="replace").strip())
        return SystemFailure(f'"{self.program} {verb}" failed' + (f": {said}" if said else ""))

    def _run(self, verb: str, data: bytes) -> tuple[int, bytes]:
        if _NAME.fullmatch(self.name) is None:
            raise InvalidInput(f'"{shown(self.name)}" is not the name of a credential helper')
        try:
            process = subprocess.Popen(
                [self.program, verb],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self.environ),
                start_new_session=True,
            )
        except OSError as err:
            raise InvalidInput(
                f'cannot run credential helper "{self.program}": {err.strerror}',
                hint="install it, or take credsStore and credHelpers out of docker's config.json",
            ) from err
        with process:
            try:
                output = self._exchange(process, data, verb)
                return process.wait(self.timeout), output
            except subprocess.TimeoutExpired as err:
                raise SystemFailure(f'"{self.program} {verb}" does not end') from err
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def _exchange(self, process: subprocess.Popen[bytes], data: bytes, verb: str) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it needs no input, or has failed already: its answer tells
        until, output = time.monotonic() + self.timeout, bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while selector.select(max(0.0, until - time.monotonic())):
                part = os.read(process.stdout.fileno(), MAX_OUTPUT)
                if not part:
                    return bytes(output)
                output += part
                if len(output) > MAX_OUTPUT:
                    raise SystemFailure(f'"{self.program} {verb}" answers with more than {MAX_OUTPUT} bytes')
        raise SystemFailure(
            f'"{self.program} {verb}" gave no answer in {self.timeout:.0f} s', hint="unlock its key ring and try again"
        )
