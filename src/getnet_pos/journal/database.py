"""Access to a PostgreSQL database: connections, retries after a broken one, and errors that show no secrets.

Only LISTEN needs a session of its own, so it works behind PgBouncer in transaction mode.
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
"""How long to wait for a database that cannot be reached, in seconds."""

CONNECTIONS: Final = 8
"""The maximum number of connections of a host."""

_PAUSE: Final = 0.1
_SETTINGS: Final[Mapping[str, Any]] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "application_name": "getnet-pos",
}
"""The defaults for what the connection string does not set; with them a dead link is detected within seconds."""

_DURABLE: Final = """SELECT current_setting('fsync'), current_setting('synchronous_commit'),
    current_setting('full_page_writes'), current_setting('synchronous_standby_names'), pg_is_in_recovery(),
    (SELECT count(*) FROM pg_stat_replication r WHERE NOT EXISTS (
        SELECT FROM pg_replication_slots s
        WHERE s.active_pid = r.pid AND (s.temporary OR s.slot_type = 'logical')))"""


class Pool(Protocol):
    """A pool of connections, such as that of ``psycopg_pool``."""

    def connection(self) -> AbstractContextManager[psycopg.Connection[Any]]: ...


class Database:
    """One database, by a libpq connection string or by the caller's pool; ``listen`` bypasses a pooler."""

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
                    "a journal in PostgreSQL needs a connection string, such as postgresql://USER:PASSWORD@HOST/DB, or "
                    "a pool of psycopg_pool"
                )
            self._pool, self.name = source, "of the pool"
            self._drop = getattr(source, "check", lambda: None)
        self._hide = _hider(hidden)
        self.listener = _listener(listen)
        """Opens a separate connection to listen on; returns ``None`` if only a pool is known."""

    def ask(self, query: str, arguments: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement, run as a transaction of its own.

        It is repeated after a broken connection, so it must be safe to run twice.

        Raises:
            JournalError: the database cannot be reached, or refuses the statement.
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
            # The connection broke, or the server is stopping or starting: the idle connections are useless too.
            self._drop()
            raise Away(error) from None
        except psycopg.Error as error:
            raise self.error(error) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """One transaction without a time limit, for creating, migrating and copying."""
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
        """``error`` as a ``JournalError`` without secrets, and with what to do."""
        primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        # The other lines of libpq ask whether the server is running, or list every address.
        lines = (primary or str(error)).strip().splitlines() or [type(error).__name__]
        shown = self._hide(" ".join(lines[0].split())).rstrip(".?")
        return JournalError(f"the journal in the database {self.name} cannot be used: {shown}. {_advice(error)}")

    def check(self) -> None:
        """Refuse a database that has no journal of this version, or that could lose a confirmed step.

        Raises:
            JournalError: it cannot be used; the message says what to do.
        """
        version = self.version()
        if version is None:
            raise JournalError(f"the database {self.name} has no journal: create it with getnet-pos journal init")
        if version > VERSION:
            raise JournalError(f"the journal in {self.name} was made by a newer version: update getnet-pos")
        if version < VERSION:
            raise JournalError(f"the journal in {self.name} is older: update it with getnet-pos journal init")
        weak = self.weakness()
        if weak is not None:
            raise JournalError(f"the database {self.name} may lose what it has confirmed: {weak}")

    def version(self) -> int | None:
        """The version of the journal's tables; ``None`` if there are none."""
        [[there]] = self.ask("SELECT to_regclass(%s) IS NOT NULL", [f"{SCHEMA}.version"])
        if not there:
            return None
        [[number]] = self.ask(f"SELECT number FROM {SCHEMA}.version")
        return int(number)

    def weakness(self) -> str | None:
        """Why a confirmed step could be lost; ``None`` if none can."""
        [[fsync, commit, pages, standbys, is_standby, followers]] = self.ask(_DURABLE)
        if is_standby:
            return "it is a standby, which is read-only: connect to the primary (target_session_attrs=read-write)"
        if fsync == "off" or pages == "off":
            return "fsync or full_page_writes is off: turn them on"
        if commit == "off":
            return "synchronous_commit is off, so a confirmed step is not on disk yet: turn it on"
        if followers and (not standbys or commit == "local"):
            return (
                "its standby is asynchronous, and would be the only copy after a failover: add it to "
                "synchronous_standby_names, and leave synchronous_commit on"
            )
        return None

    def initialize(self, create: Sequence[str], granted: Sequence[str] = ()) -> int | None:
        """Create the journal's tables, or update them. Returns the version before; ``None`` if there was none."""
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
        """Close the idle connections; the next statement opens another one."""
        if isinstance(self._pool, _Connections):
            self._pool.close()

    def forked(self) -> None:
        """In a forked child: leave the parent's connections alone, and do not even close them."""
        if isinstance(self._pool, _Connections):
            _inherited.append(self._pool)
            self._pool = own = self._pool.anew()
            self._drop = own.close


class Away(Exception):
    """The database could not be reached, or the outcome of the statement is unknown."""

    def __init__(self, why: BaseException) -> None:
        super().__init__()
        self.why = why


class _Connection(psycopg.Connection[Any]):
    """A connection that gives up on a server that stays silent."""

    patience = 2 * PATIENCE

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        return super().wait(_bounded(gen, time.monotonic() + self.patience), *arguments, **named)


def _bounded(gen: Generator[Any, Any, T], deadline: float) -> Generator[Any, Any, T]:
    """Run ``gen`` until ``deadline``; it gets ``0`` from time to time while nothing arrives."""
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
    """Connections, opened when needed. One that failed is not used again."""

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
            else:  # closed in the meantime
                connection.close()

    def anew(self) -> _Connections:
        return _Connections(self.dsn, self._settings)

    def close(self) -> None:
        idle, self._idle = self._idle, []
        while idle:
            with contextlib.suppress(IndexError):
                idle.pop().close()


_inherited: list[_Connections] = []
"""The connections of the parent process. Closing one here would end the parent's."""


def _parsed(dsn: str) -> dict[str, Any]:
    """The parameters in a connection string. The error of libpq would quote it, perhaps with the password."""
    # One "@" separates the password from the host: with a second one, a part of the password would become the host.
    if dsn.count("@") > 1 or re.search(r"://[^@]*[/?#][^@]*@", dsn.partition("?")[0]):
        raise ConfigurationError(
            "the connection string cannot be read: write the characters @ / ? # : % of a password as %40 %2F %3F %23 "
            "%3A %25"
        )
    try:
        return conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        raise ConfigurationError(
            "the connection string cannot be read: write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
            "any characters of the password other than letters and digits percent-encoded, such as %40 for @"
        ) from None


def _secrets(dsn: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    names = [name for name in given if "password" in name]
    found = {str(given[name]) for name in names if given[name]}
    written = re.search(r"://[^:@/]*:([^@]*)@", dsn)
    if written:
        found |= {written[1], unquote(written[1])}
    return tuple(sorted(found - {""}, key=len, reverse=True))


def _hider(secrets: tuple[str, ...]) -> Callable[[str], str]:
    """A function that replaces the secrets in a text; a closure, so that its ``repr`` does not show them."""

    def hidden(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return hidden


def _listener(dsn: str | None) -> Callable[[], psycopg.Connection[Any] | None]:
    """A function that connects; a closure, so that its ``repr`` does not show the connection string."""

    def connected() -> psycopg.Connection[Any] | None:
        return None if dsn is None else psycopg.connect(dsn, autocommit=True, **{**_SETTINGS, **_parsed(dsn)})

    return connected


def _named(given: Mapping[str, Any]) -> str:
    host = given.get("host") or given.get("hostaddr") or "localhost"
    return f"{given.get('dbname') or given.get('user') or ''}@{host}:{given.get('port') or 5432}"


def _advice(error: BaseException) -> str:
    if isinstance(error, (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName)):
        return "Grant the role what a host needs: getnet-pos journal init --role ROLE."
    if isinstance(error, psycopg.errors.RaiseException):
        return "No payment command is sent until then."
    if isinstance(error, psycopg.errors.DiskFull):
        return "Free some disk space; no payment command is sent until then."
    return "Check that the server is running and reachable; no payment command is sent until then."
