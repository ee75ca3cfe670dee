"""The journal's schema in PostgreSQL, written out: its tables, and the functions through which alone they are written.

A host only needs to read the tables and call the functions: it can neither change nor delete a row.
"""

from __future__ import annotations

from typing import Final

from ..messages import FINAL_STATES
from .schema import STEP_COLUMNS

__all__ = ["CHANNEL", "CREATE", "FINAL", "MIGRATIONS", "SCHEMA", "VERSION", "granted"]

SCHEMA: Final = "getnet_pos"
"""The name of the journal's schema in the database."""

VERSION: Final = 1
"""The version of its tables."""

CHANNEL: Final = "getnet_pos"
"""The channel that announces a stored notice."""

FINAL: Final = ", ".join(f"'{state}'" for state in sorted(FINAL_STATES))

_ONE_AT_A_TIME: Final = "PERFORM pg_advisory_xact_lock(1196445523)"
"""Writes and changes of an owner run one after the other; each waits only as long as a statement takes."""

_FUNCTION: Final = f"""LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = {SCHEMA}, pg_temp SET lock_timeout = '4s' SET enable_seqscan = off"""
"""No sequential scans, whatever the statistics say: everything that a function searches for is in an index."""

_INTEGERS: Final = {"sequence", "command"}
_LONG: Final = {"commerce_code", "amount", "response_code", "operation_id"}
_ALWAYS: Final = {"sequence", "at", "intent_id", "terminal", "command", "state"}


def _column(name: str) -> str:
    kind = "bigint" if name in _LONG | _INTEGERS else 'text COLLATE "C"'
    return f"{name} {kind}{' NOT NULL' if name in _ALWAYS else ''}"


CREATE: Final = (
    f"CREATE SCHEMA {SCHEMA}",
    f"SET LOCAL search_path = {SCHEMA}, pg_temp",
    "CREATE TABLE version (number integer NOT NULL)",
    f"INSERT INTO version VALUES ({VERSION})",
    f"""CREATE TABLE step (
    id bigint PRIMARY KEY,
    {", ".join(map(_column, STEP_COLUMNS))},
    digest text NOT NULL,
    UNIQUE (intent_id, sequence)
)""",
    f"CREATE INDEX settled_here ON step (terminal, id) WHERE state IN ({FINAL})",
    f"CREATE INDEX settled_device ON step (device, id) WHERE state IN ({FINAL}) AND device IS NOT NULL",
    f"CREATE INDEX settled_name ON step (terminal_id, id) WHERE state IN ({FINAL}) AND terminal_id IS NOT NULL",
    "CREATE INDEX of_key ON step (idempotency_key, id) WHERE idempotency_key IS NOT NULL AND sequence = 0",
    """CREATE INDEX paid ON step (ticket, id)
    WHERE state IN ('APPROVED', 'RESOLVED_PAID') AND found IS DISTINCT FROM 'call'""",
    # The last steps of the unsettled intents, with the names to search for; write_steps() keeps it up to date.
    """CREATE TABLE unsettled (
    intent_id text COLLATE "C" PRIMARY KEY,
    step bigint NOT NULL UNIQUE REFERENCES step,
    terminal text COLLATE "C" NOT NULL,
    device text COLLATE "C",
    terminal_id text COLLATE "C",
    ticket text COLLATE "C",
    idempotency_key text COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)""",
    "CREATE INDEX ON unsettled (terminal)",
    "CREATE INDEX ON unsettled (device) WHERE device IS NOT NULL",
    "CREATE INDEX ON unsettled (terminal_id) WHERE terminal_id IS NOT NULL",
    "CREATE INDEX ON unsettled (ticket) WHERE ticket IS NOT NULL",
    "CREATE INDEX ON unsettled (idempotency_key) WHERE idempotency_key IS NOT NULL",
    """CREATE TABLE lease (
    terminal text COLLATE "C" PRIMARY KEY,
    host text NOT NULL,
    token bigint NOT NULL,
    until timestamptz NOT NULL
)""",
    """CREATE TABLE notice (
    key text COLLATE "C" PRIMARY KEY,
    transaction_id text COLLATE "C",
    attempt text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    content jsonb NOT NULL
)""",
    "CREATE INDEX ON notice (transaction_id) WHERE transaction_id IS NOT NULL",
    """CREATE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the journal is insert-only'; END $$""",
    *(
        f"""CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION never_changed()"""
        for table in ("step", "notice")
    ),
    # Writes steps in the given order. If a row that concerns one of them was added after the row "seen", it writes
    # nothing and returns null, and the caller checks again. Otherwise it returns the positions, from 1, of the steps
    # that it refused because the host no longer owns their terminal. A person's decision needs no owner.
    f"""CREATE FUNCTION write_steps(seen bigint, written jsonb) RETURNS integer[] {_FUNCTION} AS $$
DECLARE
    last bigint;
    refused integer[];
BEGIN
    IF current_setting('synchronous_commit') = 'off' OR current_setting('fsync') = 'off' THEN
        RAISE EXCEPTION 'a step would not be synced to the disk: turn synchronous_commit and fsync on';
    END IF;
    {_ONE_AT_A_TIME};
    SELECT coalesce(max(id), 0) INTO last FROM step;
    IF last > seen AND EXISTS (
        SELECT FROM step s, jsonb_populate_recordset(null::step, written) w
        WHERE s.id > seen AND (s.intent_id = w.intent_id OR w.sequence = 0 AND (
            s.terminal = w.terminal OR s.device = w.device OR s.terminal_id = w.terminal_id
            OR s.idempotency_key = w.idempotency_key))
    ) THEN
        RETURN null;
    END IF;
    SELECT coalesce(array_agg(place::integer), '{{}}') INTO refused
        FROM jsonb_array_elements(written) WITH ORDINALITY AS one (w, place)
        WHERE w ? 'place' AND NOT EXISTS (
            SELECT FROM lease l
            WHERE l.terminal = w->>'place' AND l.host = w->>'host' AND l.token = (w->>'token')::bigint
        );
    INSERT INTO step SELECT last + row_number() OVER (ORDER BY place), {", ".join(f"(r).{n}" for n in STEP_COLUMNS)},
        (r).digest FROM (
            SELECT jsonb_populate_record(null::step, w) AS r, place
            FROM jsonb_array_elements(written) WITH ORDINALITY AS one (w, place) WHERE NOT place = ANY (refused)
        ) AS taken;
    WITH fresh AS MATERIALIZED (
        SELECT id, intent_id, state, terminal, device, terminal_id, ticket, idempotency_key FROM step WHERE id > last
    ), newest AS (
        SELECT DISTINCT ON (intent_id) * FROM fresh ORDER BY intent_id, id DESC
    ), settled AS (
        DELETE FROM unsettled u USING newest n WHERE n.intent_id = u.intent_id AND n.state IN ({FINAL})
    )
    INSERT INTO unsettled AS u
        SELECT intent_id, id, terminal, device, terminal_id, ticket, idempotency_key
        FROM newest WHERE state NOT IN ({FINAL})
        ON CONFLICT (intent_id) DO UPDATE SET step = excluded.step, terminal_id = excluded.terminal_id;
    RETURN refused;
END $$""",
    # Makes "host" the owner of the terminals that are free or already its own; returns them with their tokens.
    f"""CREATE FUNCTION hold(host text, terminals text[], seconds double precision)
    RETURNS TABLE (terminal text, token bigint) {_FUNCTION} AS $$
#variable_conflict use_column
BEGIN
    {_ONE_AT_A_TIME};
    RETURN QUERY INSERT INTO lease AS l
        SELECT one, $1, 1, clock_timestamp() + make_interval(secs => seconds) FROM unnest(terminals) AS one
        ON CONFLICT (terminal) DO UPDATE SET host = excluded.host, until = excluded.until,
            token = l.token + (l.host <> excluded.host)::integer
        WHERE l.host = excluded.host OR l.until < clock_timestamp()
        RETURNING l.terminal, l.token;
END $$""",
    f"""CREATE FUNCTION renew(host text, terminals text[], seconds double precision)
    RETURNS TABLE (terminal text, token bigint) {_FUNCTION} AS $$
#variable_conflict use_column
BEGIN
    {_ONE_AT_A_TIME};
    RETURN QUERY UPDATE lease l SET until = clock_timestamp() + make_interval(secs => seconds)
        WHERE l.host = $1 AND l.terminal = ANY (terminals) RETURNING l.terminal, l.token;
END $$""",
    f"""CREATE FUNCTION give_back(host text, terminals text[]) RETURNS void {_FUNCTION} AS $$
#variable_conflict use_column
BEGIN
    {_ONE_AT_A_TIME};
    UPDATE lease l SET until = '-infinity' WHERE l.host = $1 AND l.terminal = ANY (terminals);
END $$""",
    # Returns whether this attempt stored the notice. An attempt may be repeated if its answer was lost.
    f"""CREATE FUNCTION keep_notice(key text, transaction_id text, attempt text, content jsonb)
    RETURNS boolean {_FUNCTION} AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO notice VALUES ($1, $2, $3, DEFAULT, $4) ON CONFLICT (key) DO NOTHING;
    RETURN (SELECT n.attempt = $3 FROM notice n WHERE n.key = $1);
END $$""",
    f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {SCHEMA} FROM PUBLIC",
)
"""The statements that create it, in one transaction."""

MIGRATIONS: Final[dict[int, tuple[str, ...]]] = {}
"""For each older version, the statements that update it to the next one, in one transaction."""


def granted(role: str) -> tuple[str, ...]:
    """The statements that grant a role what a host needs; ``role`` is already quoted."""
    return (
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {role}",
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO {role}",
    )
