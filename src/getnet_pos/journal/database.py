"""The way to a PostgreSQL database: connections, repetition after a cut, and errors that show no secret.

Nothing but LISTEN needs a session of its own: it works behind PgBouncer in transaction mode.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import unquote

from ..errors import ConfigurationError, JournalError

try:
    import psycopg
    from psycopg import conninfo
except ModuleNotFoundError as error:
    raise ConfigurationError('a journal in PostgreSQL needs psycopg: pip install "getnet-pos[postgres]"') from error

from .database_schema import MIGRATIONS, SCHEMA, VERSION

__all__ = ["CONNECTIONS", "PATIENCE", "Away", "Database", "Pool"]

log = logging.getLogger("getnet_pos.journal")

T = TypeVar("T")

PATIENCE: Final = 5.0
"""How long a database that is away is waited for, in seconds."""

CONNECTIONS: Final = 8
"""How many connections a host has at most."""

_PAUSE: Final = 0.1
_SETTINGS: Final[Mapping[str, Any]] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "application_name": "getnet-pos",
}
"""What holds unless the connection string says otherwise: a link that is gone is found out about in seconds."""

_DURABLE: Final = """SELECT current_setting('fsync'), current_setting('synchronous_commit'),
    current_setting('full_page_writes'), current_setting('synchronous_standby_names'), pg_is_in_recovery(),
    (SELECT count(*) FROM pg_stat_replication r WHERE NOT EXISTS (
        SELECT FROM pg_replication_slots s
        WHERE s.active_pid = r.pid AND (s.temporary OR s.slot_type = 'logical')))"""


class Pool(Protocol):
    """What is needed of a pool of connections: that of ``psycopg_pool`` is one."""

    def connection(self) -> AbstractContextManager[psycopg.Connection[Any]]: ...


class Database:
    """One database, by a connection string of libpq or by a pool of the caller's; ``listen`` leads past a pooler."""

    def __init__(self, source: str | Pool, listen: str | None = None) -> None:
        self._pool: Pool
        hidden = () if listen is None else _secrets(listen, _parsed(listen))
        if isinstance(source, str):
            given = _parsed(source)
            hidden += _secrets(source, given)
            listen = listen or source
            self.name = _named(given)
            self._pool = own = _Connections(source, {k: v for k, v in _SETTINGS.items() if k not in given})
            self._drop: Callable[[], None] = own.close
        else:
            if not hasattr(source, "connection"):
                raise ConfigurationError(
                    "a journal in PostgreSQL is made from a connection string, postgresql://, or from a pool of "
                    "psycopg_pool"
                )
            self._pool, self.name = source, "of the pool"
            self._drop = getattr(source, "check", lambda: None)
        self._hide = _hider(hidden)
        self.listener = _listener(listen)
        """Makes a connection of its own, to listen on; ``None`` where only a pool is known."""

    def ask(self, query: str, arguments: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement, which is a transaction of its own. It is repeated after a cut: it must be one
        that may come twice.

        Raises:
            JournalError: the database cannot be reached, or refuses it.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.ask_once(query, arguments)
            except Away as error:
                if time.monotonic() + _PAUSE > end:
                    raise self.error(error.why) from None
            time.sleep(_PAUSE)

    def ask_once(self, query: str, arguments: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._pool.connection() as connection:
                cursor = connection.execute(query.encode(), arguments, prepare=False)
                return cursor.fetchall() if cursor.description else []
        except (psycopg.errors.UniqueViolation, psycopg.errors.LockNotAvailable) as error:
            raise Away(error) from None
        except psycopg.OperationalError as error:
            # It was cut, stops or starts. The idle ones are as old as the one that failed.
            self._drop()
            raise Away(error) from None
        except psycopg.Error as error:
            raise self.error(error) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """Everything or nothing, for what nobody waits for: making, migrating, copying."""
        try:
            with self._pool.connection() as connection:
                if isinstance(connection, _Connection):
                    connection.patience = math.inf
                with connection.transaction():
                    yield connection
                if isinstance(connection, _Connection):
                    del connection.patience
        except psycopg.Error as error:
            raise self.error(error) from None

    def error(self, error: BaseException) -> JournalError:
        """``error`` without what nobody may see, and with what to do."""
        told = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        said = self._hide(" ".join((told or str(error)).split())).rstrip(".?")
        return JournalError(f"the journal in the database {self.name} cannot be used: {said}. {_advice(error)}")

    def check(self) -> None:
        """Refuse a database that has no journal of this version, or that would forget what it confirmed.

        Raises:
            JournalError: with what to do.
        """
        version = self.version()
        if version is None:
            raise JournalError(f"the database {self.name} has no journal: make it with getnet-pos journal init")
        if version > VERSION:
            raise JournalError(f"the journal in {self.name} was made by a newer version: update getnet-pos")
        if version < VERSION:
            raise JournalError(f"the journal in {self.name} is an older one: getnet-pos journal init brings it up")
        weak = self.weakness()
        if weak is not None:
            raise JournalError(f"the database {self.name} may lose what it has confirmed: {weak}")

    def version(self) -> int | None:
        """Of the journal's tables; ``None`` where there are none."""
        [[there]] = self.ask("SELECT to_regclass(%s) IS NOT NULL", [f"{SCHEMA}.version"])
        if not there:
            return None
        [[number]] = self.ask(f"SELECT number FROM {SCHEMA}.version")
        return int(number)

    def weakness(self) -> str | None:
        """Why a step that was confirmed may be lost; ``None`` where it may not."""
        [[fsync, commit, pages, standbys, is_standby, followers]] = self.ask(_DURABLE)
        if is_standby:
            return "it is a standby, which takes no steps: name the primary (target_session_attrs=read-write)"
        if fsync == "off" or pages == "off":
            return "fsync or full_page_writes is off: turn them on"
        if commit == "off":
            return "synchronous_commit is off: a step that is confirmed is not on a disk yet: turn it on"
        if followers and (not standbys or commit == "local"):
            return (
                "its standby is asynchronous, and would be the only copy after a failover: name it in "
                "synchronous_standby_names, and leave synchronous_commit on"
            )
        return None

    def initialize(self, create: Sequence[str], granted: Sequence[str] = ()) -> int | None:
        """Make the journal's tables, or bring them up; the version that was there before."""
        before = self.version()
        if before is not None and before > VERSION:
            raise JournalError(f"the journal in {self.name} was made by a newer version: update getnet-pos")
        steps = list(create) if before is None else [text for n in range(before, VERSION) for text in MIGRATIONS[n]]
        with self.transaction() as connection:
            for text in [*steps, *granted]:
                connection.execute(text.encode(), prepare=False)
        return before

    def role(self, name: str) -> str:
        """The name of a role, quoted."""
        return '"' + name.replace('"', '""') + '"'

    def close(self) -> None:
        """Close the connections that are not in use; the next question opens another one."""
        if isinstance(self._pool, _Connections):
            self._pool.close()

    def forked(self) -> None:
        """In the child of a fork: leave the parent's connections alone, even their closing."""
        if isinstance(self._pool, _Connections):
            _inherited.append(self._pool)
            self._pool = own = self._pool.anew()
            self._drop = own.close


class Away(Exception):
    """The database could not be reached, or did not say what became of the statement."""

    def __init__(self, why: BaseException) -> None:
        super().__init__()
        self.why = why


class _Connection(psycopg.Connection[Any]):
    """One that does not wait for ever for a server that has fallen silent."""

    patience = 2 * PATIENCE

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        return super().wait(_bounded(gen, time.monotonic() + self.patience), *arguments, **named)


def _bounded(gen: Generator[Any, Any, T], deadline: float) -> Generator[Any, Any, T]:
    """``gen``, which is told ``0`` from time to time while nothing comes."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise psycopg.OperationalError("the server does not answer")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result


class _Connections:
    """Connections as they are needed; one that failed is not used again."""

    def __init__(self, dsn: str, settings: Mapping[str, Any]) -> None:
        self.dsn = dsn
        self._settings = settings
        self._idle: list[_Connection] = []
        self._free = threading.Semaphore(CONNECTIONS)

    @contextlib.contextmanager
    def connection(self) -> Iterator[_Connection]:
        idle = self._idle
        with self._free:
            try:
                connection = idle.pop()
            except IndexError:
                connection = _Connection.connect(self.dsn, autocommit=True, prepare_threshold=None, **self._settings)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            if idle is self._idle:
                idle.append(connection)
            else:  # closed meanwhile
                connection.close()

    def anew(self) -> _Connections:
        return _Connections(self.dsn, self._settings)

    def close(self) -> None:
        idle, self._idle = self._idle, []
        while idle:
            with contextlib.suppress(IndexError):
                idle.pop().close()


_inherited: list[_Connections] = []
"""Those of a parent process: to close one here would end the parent's."""


def _parsed(dsn: str) -> dict[str, Any]:
    """What a connection string says. Its own error would quote it, and with it perhaps the password."""
    # One "@" parts the password from the host: a second one would make a part of the password a host.
    if dsn.count("@") > 1 or re.search(r"://[^@]*[/?#][^@]*@", dsn.partition("?")[0]):
        raise ConfigurationError(
            "the connection string cannot be read: write the characters @ / ? # : % of a password as %40 %2F %3F %23 "
            "%3A %25"
        )
    try:
        return conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        raise ConfigurationError(
            "the connection string cannot be read: it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, and other "
            "characters than letters and digits in a password are written as in %40"
        ) from None


def _secrets(dsn: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    names = [name for name in given if "password" in name]
    found = {str(given[name]) for name in names if given[name]}
    written = re.search(r"://[^:@/]*:([^@]*)@", dsn)
    if written:
        found |= {written[1], unquote(written[1])}
    return tuple(sorted(found - {""}, key=len, reverse=True))


def _hider(secrets: tuple[str, ...]) -> Callable[[str], str]:
    """What takes the secrets out of a text; it shows none of them itself."""

    def hidden(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return hidden


def _listener(dsn: str | None) -> Callable[[], psycopg.Connection[Any] | None]:
    """It shows no secret either."""

    def connected() -> psycopg.Connection[Any] | None:
        return None if dsn is None else psycopg.connect(dsn, autocommit=True, **{**_SETTINGS, **_parsed(dsn)})

    return connected


def _named(given: Mapping[str, Any]) -> str:
    host = given.get("host") or given.get("hostaddr") or "localhost"
    return f"{given.get('dbname') or given.get('user') or ''}@{host}:{given.get('port') or 5432}"


def _advice(error: BaseException) -> str:
    if isinstance(error, (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName)):
        return "Let getnet-pos journal init --role grant its role what a host needs."
    if isinstance(error, psycopg.errors.RaiseException):
        return "No money command is sent until then."
    if isinstance(error, psycopg.errors.DiskFull):
        return "Free some disk space; no money command is sent until then."
    return "Look whether it runs and can be reached; no money command is sent until then."
