"""An ssh agent's socket for a RUN step: a socket of ours in the container's folder, and behind it the caller's agent.

Only what signing needs is passed on: a command can use the keys while it runs, and cannot add, remove or lock any
(draft-miller-ssh-agent). Key files are held by an ssh-agent(1) of our own, which ends with us.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from contextlib import ExitStack, suppress

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

VARIABLE = "SSH_AUTH_SOCK"
MAX_FRAME = 256 << 10
MAX_KEY = 100 << 10
LIST, SIGN = 11, 13
FAILURE = b"\0\0\0\1\5"
ADD_SECONDS = 10


def check(ssh: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse what is not there before anything is built. Raises InvalidOption."""
    for name, sources in ssh.items():
        if not sources and not os.environ.get(VARIABLE):
            raise InvalidOption(
                f'no ssh agent for "{name}": {VARIABLE} is not set', hint=f"start one, or write --ssh {name}=KEY"
            )
        kinds = {_is_socket(path) for path in sources or (os.environ[VARIABLE],)}
        if True in kinds and len(sources) > 1:
            raise InvalidOption(f"--ssh {name} takes one socket, or files of keys")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except (OSError, ValueError) as err:
        reason = (err.strerror or "").lower() if isinstance(err, OSError) else "that is no path"
        raise InvalidOption(f'cannot use "{path}" for --ssh: {reason}') from err


class Forward:
    """A context manager: a socket at `path` with this mode and owner (uid, gid) as long as it lasts."""

    def __init__(self, sources: tuple[str, ...], path: str, mode: int, owner: tuple[int, int]) -> None:
        self._sources = sources
        self._path = path
        self._mode = mode
        self._owner = owner
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Forward:  # noqa: PYI034 (Self would import typing)
        with ExitStack() as stack:
            check({"": self._sources})
            self._agent = self._agent_socket(stack)
            self._listener = socket.socket(socket.AF_UNIX)
            stack.callback(self._close)
            _bind(self._listener, self._path)
            os.chown(self._path, *self._owner)
            os.chmod(self._path, self._mode)
            self._listener.listen(16)
            threading.Thread(target=self._accept, name="ssh agent", daemon=True).start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _agent_socket(self, stack: ExitStack) -> str:
        if not self._sources:
            return os.environ[VARIABLE]
        if len(self._sources) == 1 and _is_socket(self._sources[0]):
            return self._sources[0]
        return _own_agent(self._sources, stack)

    def _close(self) -> None:
        # closing alone does not wake a thread that is in accept(2) or recv(2)
        with self._lock:
            found = [self._listener, *self._open]
        for sock in found:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="ssh agent's client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        agent = socket.socket(socket.AF_UNIX)
        with self._lock:
            self._open |= {client, agent}
        try:
            agent.connect(self._agent)
            while True:
                request = _frame(client)
                if request[:1] in (bytes([LIST]), bytes([SIGN])):
                    agent.sendall(len(request).to_bytes(4, "big") + request)
                    answer = _frame(agent)
                    client.sendall(len(answer).to_bytes(4, "big") + answer)
                else:
                    client.sendall(FAILURE)
        except (OSError, EOFError):
            pass
        finally:
            with self._lock:
                self._open -= {client, agent}
            client.close()
            agent.close()


def _bind(sock: socket.socket, path: str) -> None:
    """bind(2) by way of the folder's descriptor: the path may be longer than a socket's may."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def _frame(sock: socket.socket) -> bytes:
    length = int.from_bytes(_exactly(sock, 4), "big")
    if not 0 < length <= MAX_FRAME:
        raise EOFError
    return _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _own_agent(keys: tuple[str, ...], stack: ExitStack) -> str:
    """Start an agent with these keys; its socket. It sees the end of the command it runs, which sees ours."""
    import shutil
    import subprocess

    if not shutil.which("ssh-agent") or not shutil.which("ssh-add"):
        raise InvalidOption(
            f'--ssh with the key "{keys[0]}" needs ssh-agent and ssh-add, which are not here',
            hint="install OpenSSH's client, or give the socket of an agent",
        )
    process = subprocess.Popen(
        ["ssh-agent", "sh", "-c", f'echo "$SSH_AGENT_PID ${VARIABLE}"; exec cat'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    stack.callback(_end, process)
    assert process.stdout is not None
    pid, _, path = process.stdout.readline().decode(errors="surrogateescape").strip().partition(" ")
    if not pid.isdigit() or not path:
        raise InvalidOption("ssh-agent did not start")
    stack.callback(_kill, int(pid))
    for key in keys:
        _add(key, path)
    return path


def _add(key: str, agent: str) -> None:
    import subprocess

    with open(key, "rb") as file:
        data = file.read(MAX_KEY + 1)
    environ = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "SSH_ASKPASS")}
    try:
        done = subprocess.run(
            ["ssh-add", "-q", "-"], input=data[:MAX_KEY], capture_output=True, start_new_session=True, check=False,
            env={**environ, VARIABLE: agent, "SSH_ASKPASS_REQUIRE": "never"}, timeout=ADD_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as err:
        raise InvalidOption(f'ssh-add did not take the key "{key}" in time') from err
    if done.returncode:
        raise InvalidOption(
            f'"{key}" is no private key that can be used, or has a passphrase',
            hint="add it to an agent of yours with ssh-add, and write --ssh default",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, 15)
