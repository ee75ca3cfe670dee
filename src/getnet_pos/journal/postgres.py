"""The journal in PostgreSQL, for many hosts: the server syncs each step before ``record`` returns.

Steps that wait together are written by one statement. It checks that this host owns their terminals, and that nothing
that concerns them has been written since they were checked.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any, Final

from ..errors import JournalError
from ..messages import REMEMBERED, Intent, IntentState, Search, Step, same_terminal
from .database import CONNECTIONS, PATIENCE, Away, Database, Pool
from .database_schema import FINAL, SCHEMA
from .hosts import LIFE, Hold, Host
from .known import Named, Row
from .notices import Notices
from .rules import RECENT, Lease, check, decided, kept, moment, one_of
from .schema import STEP_COLUMNS, read_step, written_step
from .worker import Call, NewStep, Worker

__all__ = ["PostgresJournal"]

log = logging.getLogger("getnet_pos.journal")

_PAUSE: Final = 0.1
_TOGETHER: Final = 256
"""The maximum number of steps in one statement."""

_COLUMNS: Final = f"s.id, {', '.join(f's.{name}' for name in STEP_COLUMNS)}, s.digest"
_SELECT: Final = f"SELECT {_COLUMNS} FROM {SCHEMA}.step s"
_UNSETTLED: Final = f"{_SELECT} JOIN {SCHEMA}.unsettled u ON u.step = s.id"
_IS_LAST: Final = (
    f"NOT EXISTS (SELECT FROM {SCHEMA}.step t WHERE t.intent_id = s.intent_id AND t.sequence > s.sequence)"
)
_LATELY: Final = """(SELECT id FROM {schema}.step WHERE {name} = %({name})s AND state IN ({final})
    ORDER BY id DESC LIMIT {recent})"""
_FIND: Final = f"""WITH found AS (
    SELECT step AS id FROM {SCHEMA}.unsettled WHERE terminal = %(terminal)s OR device = %(device)s
        OR terminal_id = %(terminal_id)s OR ticket = %(ticket)s OR idempotency_key = %(key)s
    UNION {
    " UNION ".join(
        _LATELY.format(schema=SCHEMA, name=name, final=FINAL, recent=RECENT)
        for name in ("terminal", "device", "terminal_id")
    )
}
    UNION (SELECT id FROM {SCHEMA}.step WHERE ticket = %(ticket)s AND amount IS NOT DISTINCT FROM %(amount)s::bigint
        AND state IN ('APPROVED', 'RESOLVED_PAID') AND found IS DISTINCT FROM 'call' AND at >= %(oldest)s
        ORDER BY id DESC LIMIT {RECENT})
    UNION (SELECT t.id FROM (SELECT intent_id FROM {SCHEMA}.step WHERE idempotency_key = %(key)s AND sequence = 0
        ORDER BY id DESC LIMIT 1) k JOIN {SCHEMA}.step t USING (intent_id) ORDER BY t.sequence DESC LIMIT 1)
)
SELECT {_COLUMNS} FROM found JOIN {SCHEMA}.step s USING (id) WHERE {_IS_LAST} ORDER BY s.id"""
_RELATED: Final = f"""WITH asked AS (
    SELECT * FROM unnest(%(ids)s::text[], %(terminals)s::text[], %(devices)s::text[], %(names)s::text[],
        %(keys)s::text[]) AS one (intent_id, terminal, device, terminal_id, key)
), found AS (
    SELECT t.id FROM asked a CROSS JOIN LATERAL (SELECT id FROM {SCHEMA}.step WHERE intent_id = a.intent_id
        ORDER BY sequence DESC LIMIT 1) t
    UNION SELECT u.step FROM asked a JOIN {SCHEMA}.unsettled u ON u.terminal = a.terminal
    UNION SELECT u.step FROM asked a JOIN {SCHEMA}.unsettled u ON u.device = a.device
    UNION SELECT u.step FROM asked a JOIN {SCHEMA}.unsettled u ON u.terminal_id = a.terminal_id
    UNION SELECT u.step FROM asked a JOIN {SCHEMA}.unsettled u ON u.idempotency_key = a.key
    UNION SELECT t.id FROM asked a CROSS JOIN LATERAL (SELECT intent_id FROM {SCHEMA}.step
        WHERE idempotency_key = a.key AND sequence = 0 ORDER BY id DESC LIMIT 1) k
        CROSS JOIN LATERAL (SELECT id FROM {SCHEMA}.step WHERE intent_id = k.intent_id
        ORDER BY sequence DESC LIMIT 1) t
)
SELECT (SELECT coalesce(max(id), 0) FROM {SCHEMA}.step), clock_timestamp(), {_COLUMNS}
    FROM (SELECT) one LEFT JOIN found ON true LEFT JOIN {SCHEMA}.step s USING (id)"""
_WRITE: Final = f"SELECT {SCHEMA}.write_steps(%s, %s::jsonb)"
_ELSEWHERE: Final = f"""{_UNSETTLED} WHERE u.terminal <> %(terminal)s AND u.intent_id <> ALL (%(claimed)s::text[])
    AND NOT EXISTS (SELECT FROM {SCHEMA}.lease l WHERE l.terminal = u.terminal AND l.host <> %(host)s
    AND l.until >= clock_timestamp()) ORDER BY u.step DESC LIMIT %(most)s"""
_OWNED: Final = f"""SELECT 1 FROM {SCHEMA}.unsettled u JOIN {SCHEMA}.lease l USING (terminal)
    WHERE u.intent_id = %s AND l.host <> %s AND l.until >= clock_timestamp()"""
_BEGINNING_WITH: Final = f"SELECT 1 FROM {SCHEMA}.step WHERE starts_with(intent_id, %s) AND %s <> '' LIMIT 1"
_OLDEST_FIRST: Final = f"""ORDER BY
    (SELECT id FROM {SCHEMA}.step f WHERE f.intent_id = s.intent_id AND f.sequence = 0)"""


class PostgresJournal:
    """The journal in a PostgreSQL database that many hosts share (docs/guides/hosts.md).

    Args:
        source: a libpq connection string, ``postgresql://...``, or a pool of ``psycopg_pool``.
        listen: a connection string that bypasses a pooler, to receive webhook notices at once. Without it, if
            ``source`` cannot listen, the table is read twice a second.
        lease: how long a silent host keeps its terminals, in seconds.

    Raises:
        ConfigurationError: the connection string cannot be read, or psycopg is not installed.
        JournalError: the database cannot be reached, has no journal, or could lose a confirmed step.

    Examples:
        >>> from getnet_pos.journal import PostgresJournal
        >>> PostgresJournal("postgresql://shop:p@ssword@db.example/shop")  # write p%40ssword
        Traceback (most recent call last):
        getnet_pos.errors.ConfigurationError: the connection string cannot be read: ...
    """

    def __init__(self, source: str | Pool, *, listen: str | None = None, lease: float = LIFE) -> None:
        self._database = Database(source, listen)
        self._life = lease
        self._begin()
        self._database.check()
        _all.add(self)

    def __repr__(self) -> str:
        return f"<PostgresJournal {self._database.name}>"

    def _begin(self) -> None:
        """Create what belongs to this process alone."""
        self._host = Host(self._database, self._life)
        self._notices = Notices(self._database)
        self._claimed: dict[str, _Claim] = {}
        self._store = _Store(self._database, self._host)
        self._worker = Worker(self._store)
        self._threads = ThreadPoolExecutor(CONNECTIONS, "getnet-pos journal")
        self._ended = weakref.finalize(self, _end, self._worker, self._host, self._notices, self._database)

    # ---------------------------------------------------------------------------------------------------------- reading

    def unsettled(self, terminal: str) -> list[Intent]:
        return [step.intent for step in self._steps(f"{_UNSETTLED} WHERE u.terminal = %s {_OLDEST_FIRST}", [terminal])]

    def recent(self, terminal: str) -> list[Intent]:
        lately = _LATELY.format(schema=SCHEMA, name="terminal", final=FINAL, recent=RECENT)
        query = f"{_SELECT} WHERE s.id IN {lately} AND {_IS_LAST} ORDER BY s.id"
        return [step.intent for step in self._steps(query, {"terminal": terminal})]

    def find(self, search: Search) -> list[Step]:
        asked = {
            "terminal": search.terminal,
            "device": search.device,
            "terminal_id": search.terminal_id,
            "ticket": search.ticket,
            "amount": search.amount,
            "key": search.idempotency_key,
            "oldest": moment(datetime.now(timezone.utc) - REMEMBERED),
        }
        return [step for step in self._steps(_FIND, asked, search) if _is_asked_for(search, step.intent)]

    def intents(self, *, settled: bool = False) -> list[Intent]:
        if settled:
            return list({step.intent.intent_id: step.intent for step in self.steps()}.values())
        return [step.intent for step in self._steps(f"{_UNSETTLED} {_OLDEST_FIRST}")]

    def elsewhere(self, search: Search, most: int) -> list[Step]:
        """The last steps of at most ``most`` of the newest unsettled intents of other terminals, oldest first.

        Those that a living host works on are left out.
        """
        names = {
            "terminal": search.terminal,
            "host": self._host.name,
            "claimed": [_plain(one) for one in [*self._claimed]],
            "most": 2 * most,  # some may belong to this terminal under another name
        }
        found = [step for step in self._steps(_ELSEWHERE, names) if not same_terminal(search, step.intent)]
        return found[:most][::-1]

    def steps(self, intent_id: str | None = None) -> list[Step]:
        if intent_id is None:
            return self._steps(f"{_SELECT} ORDER BY s.id")
        return self._steps(f"{_SELECT} WHERE s.intent_id = %s ORDER BY s.sequence", [intent_id])

    def since(self, at: str) -> list[Step]:
        older = f"SELECT id FROM {SCHEMA}.step WHERE at < %s ORDER BY id DESC LIMIT 1"
        return self._steps(f"{_SELECT} WHERE s.id > coalesce(({older}), 0) ORDER BY s.id", [at])

    def _steps(
        self, query: str, arguments: Sequence[Any] | Mapping[str, Any] = (), search: Search | None = None
    ) -> list[Step]:
        """The steps in the database, after writing all that arrived before; with ``search``, only those it matches."""
        self._worker.submit(partial(self._store.write_for, search)).result()
        return [_read(self._database, row) for row in self._database.ask(query, arguments)]

    # --------------------------------------------------------------------------------------------------------- deciding

    def claim(self, intent_id: str, terminal: str | None = None) -> Lease | None:
        hold = None
        if terminal is not None:
            hold = self._host.hold(terminal)
            if hold is None:
                return None
        elif self._database.ask(_OWNED, [intent_id, self._host.name]):
            return None
        return self._claim(intent_id, hold)

    def _claim(self, intent_id: str, hold: Hold | None) -> Lease | None:
        own = _Claim(hold)
        if self._claimed.setdefault(intent_id, own) is not own:
            return None
        return Lease(partial(self._claimed.pop, intent_id, None), hold)

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        settled = self._database.ask(_BEGINNING_WITH, [intent_id, intent_id])
        intent = one_of(self.intents(), intent_id, settled)
        # The owner of the terminal may be about to receive the result of an open intent; any other a person may decide.
        claim = self.claim(intent.intent_id, intent.terminal) if intent.open else self._claim(intent.intent_id, None)
        try:
            intent = decided(intent, claim, paid=paid, by=by, note=note)
            self.record(intent)
        finally:
            if claim is not None:
                claim.release()
        return intent

    # ---------------------------------------------------------------------------------------------------------- writing

    def record(self, intent: Intent) -> None:
        self._recorded(intent).result()

    def _recorded(self, intent: Intent) -> Future[None]:
        claimed = self._claimed.get(intent.intent_id)
        return self._worker.record(_OwnStep(kept(intent), None if claimed is None else claimed.hold))

    def submit(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
        """Run one of these calls, or a function that makes several, without blocking an event loop."""
        if call == self.record:
            return self._recorded(*arguments)
        return self._threads.submit(call, *arguments, **named)

    # ---------------------------------------------------------------------------------------------------------- notices

    def keep_notice(self, key: str, transaction_id: str | None, content: Mapping[str, Any]) -> bool:
        """Store a webhook notice for all hosts; ``False`` if one with the same ``key`` is already stored."""
        return self._notices.keep(key, transaction_id, content)

    def noticed(self, transaction_id: str) -> Future[None]:
        """A future that is done once a notice of the transaction is stored, now or later, by any host."""
        return self._notices.stored(transaction_id)

    # ----------------------------------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """Give the terminals back and close the connections. The next call opens them again."""
        _end(self._worker, self._host, self._notices, self._database)

    def _forked(self) -> None:
        """In a forked child: become a new host, which owns nothing."""
        self._ended.detach()
        self._database.forked()
        self._begin()


def _end(worker: Worker, host: Host, notices: Notices, database: Database) -> None:
    thread = worker.stop()
    if thread is not None and thread is not threading.current_thread():
        thread.join(PATIENCE)
    host.close()
    notices.close()
    database.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Claim:
    """An intent that is locked here, with the ownership of the terminal under which its steps are recorded."""

    hold: Hold | None


class _OwnStep(NewStep):
    """A step to be written by the owner of its terminal."""

    __slots__ = ("done", "hold")

    def __init__(self, intent: Intent, hold: Hold | None) -> None:
        super().__init__(intent, "")  # the server sets the time
        self.hold = hold
        self.done = False

    @property
    def needs_owner(self) -> bool:
        """Whether only the owner may write it; any host may write a person's decision."""
        return self.intent.state not in (IntentState.RESOLVED_PAID, IntentState.RESOLVED_NOT_PAID)

    def end(self, error: BaseException | None = None) -> None:
        self.done = True
        super().end(error)

    def row(self, step: Step, host: str) -> dict[str, Any]:
        """The argument of ``write_steps``. Raises ``JournalError`` if the database cannot store it."""
        values: dict[str, Any] = dict(zip((*STEP_COLUMNS, "digest"), written_step(step), strict=True))
        unfit = [name for name, value in values.items() if _plain(value) != value]
        if unfit:
            raise JournalError(f"a step cannot be recorded: {unfit[0]} contains a NUL character")
        if self.hold is None:
            return values
        return {**values, "place": self.hold.terminal, "host": host, "token": self.hold.token}


class _Store:
    """The work of the journal's thread: it writes together the steps that have arrived, if the rules accept them."""

    def __init__(self, database: Database, host: Host) -> None:
        self._database = database
        self._host = host
        self._unwritten: deque[_OwnStep] = deque()

    def turn(self, works: list[NewStep | Call[Any]]) -> None:
        for work in works:
            if isinstance(work, Call):
                work.run()
                work.tell()
            else:
                assert isinstance(work, _OwnStep)
                self._unwritten.append(work)
        if any(step.is_awaited for step in self._unwritten):
            self.write()

    def leave(self) -> None:
        self.write()

    def write_for(self, search: Search | None) -> None:
        """Write the steps that nobody waited for, if ``search`` matches one of them."""
        if any(search is None or _is_asked_for(search, step.intent) for step in self._unwritten):
            self.write()

    def write(self) -> None:
        """Write all steps that have arrived. Each step that the rules accept is synced when its future is done."""
        while self._unwritten:
            steps = [self._unwritten.popleft() for _ in range(min(len(self._unwritten), _TOGETHER))]
            try:
                self._write(steps)
            except BaseException as error:
                for step in steps:
                    if not step.done:
                        step.end(error)

    def _write(self, steps: list[_OwnStep]) -> None:
        end, was_away = time.monotonic() + PATIENCE, False
        while left := [step for step in steps if not step.done]:
            try:
                if self._written(left, was_away):
                    continue
                why = JournalError("other hosts keep writing steps of the same terminals: try again later")
            except Away as error:
                was_away, why = True, self._database.error(error.why)
                time.sleep(_PAUSE)
            if time.monotonic() > end:
                for step in left:
                    step.end(JournalError(str(why)))

    def _written(self, steps: list[_OwnStep], was_away: bool) -> bool:
        """``False`` if another host has written a step that concerns them: then they must be checked again."""
        steps = [step for step in steps if self._is_owned(step)]
        if not steps:
            return True
        intents = [step.intent for step in steps]
        asked: dict[str, list[str | None]] = {
            "ids": [intent.intent_id for intent in intents],
            "terminals": [intent.terminal for intent in intents],
            "devices": [intent.device for intent in intents],
            "names": [intent.terminal_id for intent in intents],
            "keys": [intent.idempotency_key for intent in intents],
        }
        rows = self._database.ask_once(_RELATED, {name: [_plain(v) for v in values] for name, values in asked.items()})
        seen, at = rows[0][0], moment(rows[0][1].astimezone(timezone.utc))
        known = Named()
        for row in rows:
            if row[2] is not None:
                known.put(Row(row[2], _read(self._database, row[2:])))
        written: list[tuple[_OwnStep, dict[str, Any]]] = []
        for one in steps:
            before = known.rows.get(one.intent.intent_id)
            if was_away and before is not None and before.intent == one.intent:
                one.end()  # it was written, and only the answer was lost
                continue
            try:
                related = [] if before else [*known.of_terminal(one.intent), *known.of_key(one.intent)]
                check(one.intent, before.intent if before else None, [row.intent for row in related])
                step = Step(one.intent, before.step.sequence + 1 if before else 0, at)
                written.append((one, one.row(step, self._host.name)))
            except Exception as error:
                one.end(error)
                continue
            known.put(Row(seen + len(written), step))
        if not written:
            return True
        [[refused]] = self._database.ask_once(_WRITE, [seen, json.dumps([row for _, row in written])])
        if refused is None:
            return False
        for place, (one, _) in enumerate(written, 1):
            one.end(self._fenced(one) if place in refused else None)
        return True

    def _is_owned(self, step: _OwnStep) -> bool:
        """Become the owner of the terminal if the step was not claimed; whether this host owns it."""
        if step.hold is None and step.needs_owner:
            try:
                step.hold = self._host.hold(step.intent.terminal)
            except JournalError as error:
                step.end(error)
            else:
                if step.hold is None:
                    step.end(JournalError(f"another host owns the terminal {step.intent.terminal}: poll it there"))
        return not step.done

    def _fenced(self, one: _OwnStep) -> JournalError:
        assert one.hold is not None
        self._host.lost(one.hold)
        return JournalError(
            f"state {one.intent.state} of intent {one.intent.intent_id} is refused: another host has taken over the "
            f"terminal {one.hold.terminal} while this one could not renew its lease"
        )


def _read(database: Database, row: Sequence[Any]) -> Step:
    try:
        return read_step(row[1:])
    except (ValueError, RecursionError) as error:
        raise JournalError(
            f"the journal in the database {database.name} is damaged: row {row[0]}: {error}. Run getnet-pos journal "
            "check, and check on the terminal the payments that it recorded"
        ) from None


def _plain(value: Any) -> Any:
    """``value`` without what a PostgreSQL query cannot contain."""
    return value.replace("\0", "").encode(errors="ignore").decode() if isinstance(value, str) else value


def _is_asked_for(search: Search, intent: Intent) -> bool:
    sale, key = search.ticket is not None, search.idempotency_key is not None
    return (
        same_terminal(search, intent)
        or (sale and (intent.ticket, intent.amount) == (search.ticket, search.amount))
        or (key and intent.idempotency_key == search.idempotency_key)
    )


_all: weakref.WeakSet[PostgresJournal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_all):
        journal._forked()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows is not where coverage is taken
    os.register_at_fork(after_in_child=_after_fork)
