"""Real PostgreSQL servers for tests: made in a temporary folder, started, stopped at once, and thrown away."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WHY_NOT = "PostgreSQL is not installed here (apt-get install postgresql, pip install psycopg[binary,pool])"
_SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 32MB
autovacuum_naptime = 5
log_min_messages = warning
"""


def programs() -> Path | None:
    """Where the programs of the newest PostgreSQL on this machine are."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))[::-1]:
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@functools.cache
def is_there() -> bool:
    try:
        import psycopg  # noqa: F401  # only whether it is installed
    except ModuleNotFoundError:
        return False
    return programs() is not None


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def as_server() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as its own user."""
    if os.geteuid() != 0:
        return {}
    import pwd

    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Server:
    """One server in a folder of its own. It is one that syncs, whatever the folder lies on."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._programs = programs()
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        self._run("initdb", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--username=owner")
        with open(folder / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(f"{_SETTINGS}port = {self.port}\nunix_socket_directories = '{folder}'\n")
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self.start()

    def dsn(self, database: str = "postgres", user: str = "owner", port: int | None = None) -> str:
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", "--log", str(self.folder / "log"))

    def stop(self, how: str = "immediate") -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode", how)

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of the last statement."""
        import psycopg

        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def journal(self, name: str) -> str:
        """The connection string of a new database with an empty journal in it."""
        from getnet_pos.journal.database import Database
        from getnet_pos.journal.database_schema import CREATE

        self.sql(f"CREATE DATABASE {name}")
        database = Database(self.dsn(name))
        database.initialize(CREATE)
        database.close()
        return self.dsn(name)

    def _run(self, program: str, *arguments: str) -> None:
        assert self._programs is not None, WHY_NOT
        command = [str(self._programs / program), "-D", str(self.folder), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60, cwd="/", **as_server())


@contextlib.contextmanager
def server(**settings: str) -> Iterator[Server]:
    """A server of one's own, in memory where there is such a place."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="postgres-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        made = Server(Path(name) / "data", **settings)
        try:
            yield made
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                made.stop()


EMPTY = (
    "SET session_replication_role = replica",
    "TRUNCATE getnet_pos.step, getnet_pos.unsettled, getnet_pos.lease, getnet_pos.notice",
)


@pytest.fixture(scope="session")
def common_server() -> Iterator[Server]:
    """The server of all tests of one worker that leave it as it is."""
    if not is_there():
        pytest.skip(WHY_NOT)
    with server() as made:
        made.journal("journal")
        yield made


@pytest.fixture
def dsn(common_server: Server) -> str:
    """The connection string of a database with an empty journal."""
    common_server.sql(*EMPTY, database="journal")
    return common_server.dsn("journal")
