"""git as a program, kept from everything that would make it run something else, or read what is the user's.

No hooks, no configuration but ours, no credential helpers, no prompts; http, https, ssh and git only. What has to be
secret is given in the environment, which only root and the caller can read.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from urllib.parse import unquote, urlsplit

from holdall.dockerfile.location import visible
from holdall.errors import SystemFailure, Unsupported
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from holdall.build.stop import Stop

PROTOCOLS = "http:https:ssh:git"
LOCAL = "file"
STALLED = 300
"""Seconds without a byte after which a server is given up."""
CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.symlinks": "true",
    "core.autocrlf": "false",
    "core.attributesFile": "/dev/null",
    "core.logAllRefUpdates": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": str(STALLED),
    "init.defaultBranch": "master",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "safe.directory": "*",
}
PASSED_ON = ("PATH", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_TRACE")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
MAX_OUTPUT = 64 << 20
GITHUB = ("https://github.com/", "https://www.github.com/")
_NOISE = re.compile(r"^(fatal|error|remote|warning): ?", re.IGNORECASE)


class GitFailed(SystemFailure):
    """git ended with an error; `output` is what it said."""

    def __init__(self, message: str, output: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.output = output


@record
class Ssh:
    """What ssh may use: the socket of an agent, files of private keys."""

    agent: str = ""
    keys: tuple[str, ...] = ()


class Git:
    """Runs git for one build. `secret` gives the text of one of the build's secrets; `home` is an empty folder."""

    def __init__(self, secret: Callable[[str], str | None], ssh: Ssh, stop: Stop, home: str) -> None:
        self._secret = secret
        self._ssh = ssh
        self._stop = stop
        self._home = home

    def run(
        self, args: Sequence[str], *, repository: str = "", remote: str = "", protocols: str = PROTOCOLS,
        environment: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """What git says. Raises GitFailed, Unsupported (no git), Cancelled."""
        pieces = []
        size = 0
        for piece in self.pieces(
            args, repository=repository, remote=remote, protocols=protocols, environment=environment
        ):
            size += len(piece)
            if size > MAX_OUTPUT:
                raise GitFailed("git says more than can be right", "")
            pieces.append(piece)
        return b"".join(pieces).decode("utf-8", "surrogateescape")

    def pieces(
        self, args: Sequence[str], *, repository: str = "", remote: str = "", protocols: str = PROTOCOLS,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:  # fmt: skip
        """What git says, as it comes; the errors come at the end. Left early, git is killed."""
        env = {**self._environment(remote, protocols), **(environment or {})}
        command = ["git", *([f"--git-dir={repository}"] if repository else []), *args]
        errors = os.memfd_create("git-errors", os.MFD_CLOEXEC)
        try:
            try:
                process = subprocess.Popen(
                    command, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                    umask=0o022, start_new_session=True,
                )  # fmt: skip
            except FileNotFoundError as err:
                raise Unsupported("git is not there, and this needs it", hint="install git (apt install git)") from err
            try:
                with process, self._stop.calling(process.kill):
                    assert process.stdout is not None
                    while data := os.read(process.stdout.fileno(), 1 << 16):
                        yield data
            finally:
                process.kill()
                process.wait()
            self._stop.check()
            if process.returncode:
                raise _failed(args, os.pread(errors, 1 << 16, 0).decode("utf-8", "replace"), remote)
        finally:
            os.close(errors)

    def _environment(self, remote: str, protocols: str) -> dict[str, str]:
        env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        for name in PROXIES:
            value = os.environ.get(name) or os.environ.get(name.upper())
            if value:
                env[name] = value
        if "SSL_CERT_FILE" in env:
            env.setdefault("GIT_SSL_CAINFO", env["SSL_CERT_FILE"])
        env.update(
            HOME=self._home, LC_ALL="C", GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null",
            GIT_TERMINAL_PROMPT="0", GIT_ALLOW_PROTOCOL=protocols, GIT_SSH_COMMAND=self._ssh_command(),
            GIT_ATTR_NOSYSTEM="1", GIT_OPTIONAL_LOCKS="0", GIT_NO_REPLACE_OBJECTS="1",
        )  # fmt: skip
        if self._ssh.agent:
            env["SSH_AUTH_SOCK"] = self._ssh.agent
        config = {**CONFIG, **self._credentials(remote)}
        env["GIT_CONFIG_COUNT"] = str(len(config))
        for number, (key, value) in enumerate(config.items()):
            env[f"GIT_CONFIG_KEY_{number}"] = key
            env[f"GIT_CONFIG_VALUE_{number}"] = value
        return env

    def _ssh_command(self) -> str:
        import shlex

        words = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "ForwardAgent=no"]
        words += ["-o", f"ConnectTimeout={STALLED}", "-o", f"ServerAliveInterval={STALLED // 5}"]
        words += ["-o", "ServerAliveCountMax=5"]
        for key in self._ssh.keys:
            words += ["-i", key]
        if self._ssh.keys and not self._ssh.agent:
            words += ["-o", "IdentitiesOnly=yes"]
        if not self._ssh.keys and not self._ssh.agent:
            # the user's own keys are used only when the build was given them
            words += ["-o", "IdentityFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
        return shlex.join(words)

    def _credentials(self, remote: str) -> dict[str, str]:
        if not remote.startswith(("http://", "https://")):
            return {}
        parts = urlsplit(remote)
        header = ""
        for name in (f"GIT_AUTH_HEADER.{parts.netloc.rpartition('@')[2]}", "GIT_AUTH_HEADER"):
            header = header or (self._secret(name) or "").strip()
        for name in (f"GIT_AUTH_TOKEN.{parts.netloc.rpartition('@')[2]}", "GIT_AUTH_TOKEN"):
            token = (self._secret(name) or "").strip()
            header = header or (_basic("x-access-token", token) if token else "")
        if not header and parts.username is not None:
            header = _basic(unquote(parts.username), unquote(parts.password or ""))
        if not header:
            return {}
        plain = public(remote)
        scope = next((prefix for prefix in GITHUB if plain.startswith(prefix)), plain)
        return {f"http.{scope}.extraHeader": f"Authorization: {header}"}


def public(remote: str) -> str:
    """The remote as git is told it: without user and password, which go into a header."""
    if not remote.startswith(("http://", "https://")):
        return remote
    parts = urlsplit(remote)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _failed(args: Sequence[str], output: str, remote: str) -> GitFailed:
    lines = [_NOISE.sub("", line.strip()) for line in output.splitlines() if line.strip()]
    said = visible(lines[0])[:300] if lines else "it says nothing"
    what = f'git cannot get "{visible(public(remote))[:200]}"' if remote else f"git {args[0]} failed"
    hint = None
    if "Host key verification failed" in output:
        said, hint = "the key of the host is not known", "add it to ~/.ssh/known_hosts, or use an https address"
    elif "Permission denied (" in output:
        hint = "give a key or an agent with --ssh default"
    elif "could not read Username" in output or "Authentication failed" in output:
        said, hint = "it wants credentials", "give a token with --secret id=GIT_AUTH_TOKEN,src=FILE"
    return GitFailed(f"{what}: {said}", output, hint=hint)
