"""Fixtures that several suites share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.testing.docker_daemon import DockerDaemon
from holdall.testing.docker_daemon import available as docker_available
from holdall.testing.docker_registry import DockerRegistry, available
from holdall.testing.objectstore import ENVIRONMENT, ObjectStore
from holdall.testing.postgres import Postgres, programs

for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        # begun by `nohup` or by `&` in a script: commands would inherit it, and tests that send it wait for ever
        signal.signal(number, usual)


@pytest.fixture(scope="session")
def registry_v2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Debian's docker-registry, plain HTTP on loopback, one for the session: use a repository name of your own."""
    if not available():
        pytest.skip("docker-registry is not installed")
    folder: Path = tmp_path_factory.mktemp("registry-v2")
    with DockerRegistry(str(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerDaemon]:
    """A private dockerd without networks, one for the session: use image names of your own and remove them."""
    if not docker_available():
        pytest.skip("dockerd is not installed, or we are not root")
    with DockerDaemon(str(tmp_path_factory.mktemp("dockerd"))) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def objectstore() -> Iterator[ObjectStore]:
    """An S3-compatible store, one for the session: use a `place` of your own. The environment has credentials."""
    with pytest.MonkeyPatch.context() as patch, ObjectStore() as store:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL cluster, one for the session: use a schema of your own."""
    if not programs():
        pytest.skip("postgresql is not installed")
    with Postgres() as server:
        yield server
