"""Debian's PostgreSQL as a throw-away cluster: a folder and a Unix socket, run by an unprivileged user."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from types import TracebackType

USER = "postgres"
SECONDS = 60.0


def programs() -> str:
    """The folder of the newest version's programs, "" when there is none."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
    return found[-1] if found and os.path.exists(f"{found[-1]}/initdb") else ""


class Postgres:
    """A cluster; a context manager. It starts with nothing in it and leaves nothing."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="hpg-", dir="/tmp")  # a socket's path has 107 bytes at most
        self._user = USER if os.geteuid() == 0 else None
        if self._user:
            user = pwd.getpwnam(self._user)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, schema: str = "") -> str:
        """Where clients find it; with a schema, one of their own."""
        host = quote(self._folder, safe="")
        options = "&options=" + quote(f"-csearch_path={schema}") if schema else ""
        return f"postgresql://{USER}@/postgres?host={host}{options}"

    def schema(self) -> str:
        """The URL of a schema that nobody else uses."""
        name = f"t{uuid.uuid4().hex}"
        self.ask(f"CREATE SCHEMA {name}")
        return self.url(name)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """Run a statement and return its rows."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as db:
            cursor = db.execute(sql.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def start(self) -> None:
        """Start, also again after `kill`."""
        data = f"{self._folder}/data"
        if not os.path.exists(data):
            words = ["initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
            self._run(*words)
        words = [
            "-D",
            data,
            "-k",
            self._folder,
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "max_connections=60",
        ]
        with open(f"{self._folder}/log", "ab") as log:
            self._process = subprocess.Popen(
                [f"{programs()}/postgres", *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self._user, group=self._user,
                extra_groups=[] if self._user else None, cwd="/", start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while self._run("pg_isready", "-q", "-h", self._folder, check=False):
            if self._process.poll() is not None or time.monotonic() > deadline:
                with open(f"{self._folder}/log", errors="replace") as log_:
                    raise RuntimeError(log_.read())
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once: connections break, what was not committed is lost."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(SECONDS)

    def _run(self, program: str, *words: str, check: bool = True) -> int:
        done = subprocess.run(
            [f"{programs()}/{program}", *words],
            check=False, capture_output=True, text=True, user=self._user, group=self._user,
            extra_groups=[] if self._user else None, cwd="/", timeout=SECONDS,
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(done.stderr)
        return done.returncode

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder)
