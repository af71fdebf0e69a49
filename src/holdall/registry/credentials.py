"""Where credentials are kept.

Read, in order: Docker's config.json ($DOCKER_CONFIG or ~/.docker; its credHelpers, credsStore and auths), then
containers' auth.json ($REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers or /run/containers/UID, ~/.config/containers).
Written: Docker's only.
"""

from __future__ import annotations

import os

from holdall.registry.authfile import AuthFile, key_of
from holdall.registry.credential import Credential
from holdall.registry.helper import Helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.registry.options import CredentialSource


class Keychain:
    """Credentials of one user: a `CredentialSource` that login and logout can change."""

    def __init__(self, docker: str, others: tuple[str, ...] = (), environ: Mapping[str, str] | None = None) -> None:
        self.docker = AuthFile(docker)
        self._others = tuple([AuthFile(path) for path in others])
        self._environ = os.environ if environ is None else environ

    @classmethod
    def default(cls, environ: Mapping[str, str] | None = None) -> Keychain:
        """The files the environment points to."""
        env = os.environ if environ is None else environ
        home = env.get("HOME") or "/"
        docker = env.get("DOCKER_CONFIG") or os.path.join(home, ".docker")
        if env.get("REGISTRY_AUTH_FILE"):
            others: tuple[str, ...] = (env["REGISTRY_AUTH_FILE"],)
        else:
            run = env.get("XDG_RUNTIME_DIR")
            runtime = f"{run}/containers" if run else f"/run/containers/{os.getuid()}"
            config = env.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
            others = (f"{runtime}/auth.json", f"{config}/containers/auth.json")
        return cls(os.path.join(docker, "config.json"), others, env)

    def lookup(self, registry: str, path: str = "") -> Credential | None:
        """The credential for a registry (a reference's domain) and, in containers' files, a repository path.

        Raises InvalidInput for a malformed file or a helper that is missing, SystemFailure when a helper fails.
        """
        for file in (self.docker, *self._others):
            helper = self._helper(file, registry)
            found = helper.get(key_of(registry)) if helper else None
            found = found or file.lookup(registry, path)
            if found:
                return found
        return None

    def _helper(self, file: AuthFile, registry: str) -> Helper | None:
        tree = file.load()
        helpers = tree.string_map("credHelpers") or {}
        name = helpers.get(registry) or helpers.get(key_of(registry)) or tree.string("credsStore")
        return Helper(name, self._environ) if name else None

    def store(self, registry: str, credential: Credential) -> str:
        """Keep a credential; the warning to show the user, "" when a helper keeps it safe."""
        helper = self._helper(self.docker, registry)
        if helper is not None:
            helper.store(key_of(registry), credential)
            self.docker.update(registry, Credential())
            return ""
        self.docker.update(registry, credential)
        return (
            f'the password is stored unencrypted in "{self.docker.path}"; '
            "a credential helper (credsStore in that file) keeps it safer"
        )

    def erase(self, registry: str) -> bool:
        """Forget a credential; whether there was one."""
        helper = self._helper(self.docker, registry)
        known = False
        if helper is not None:
            known = helper.get(key_of(registry)) is not None
            helper.erase(key_of(registry))
        return self.docker.update(registry, None) or known


class Given:
    """Credentials that were given for some registries, or for some of their repositories; the others' are looked up."""

    def __init__(self, entries: Mapping[tuple[str, str], Credential], rest: CredentialSource) -> None:
        """`entries` by registry and repository path; the path "" is for all of the registry."""
        self._entries = entries
        self._rest = rest

    def lookup(self, registry: str, path: str = "") -> Credential | None:
        """See `CredentialSource`."""
        found = self._entries.get((registry, path)) or self._entries.get((registry, ""))
        return found or self._rest.lookup(registry, path)
