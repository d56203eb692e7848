"""The journal's tables, and the rules that SQLite itself keeps.

    run        one row for each time that a Router opened the journal; closed is NULL while it runs, and for ever if it died;
               epoch is that of the lease under which it traded, 0 where there was none
    entry      what happened, in order: the story. Nothing in it is ever changed
    operation  one row for each command: how far it got. Made and moved with the entries
    own_order  one row for each order placed here: as it was last known. Made and moved with the entries

Rules:

1. Everything is written as an entry; the other two tables are what the entries add up to, and `journal check` compares them.
2. An operation moves forward only: intent, unknown, then one of confirmed, refused, not_sent, resolved.
3. An order that has ended never lives again, whatever is told of it later.
4. Only what is over can be deleted: no operation in doubt, no order that may be open, and no entry of either.
5. Entries are numbered by the writer, without a gap; the last one stays, because the next is counted from it.
6. Times are wall-clock seconds since 1970; facts are JSON; crc is that of the row's other columns.
7. A version differs from the one before it in what is named here, and in nothing else: a run has an epoch from version 2 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = [
    "APPLICATION_ID",
    "ENDED",
    "EPOCHS",
    "FINAL",
    "IN_DOUBT",
    "RUN",
    "SCHEMA",
    "SCHEMAS",
    "SCHEMA_VERSION",
    "WHATS",
]

APPLICATION_ID: Final = 0x56524A31  # "VRJ1"
SCHEMA_VERSION: Final = 2
EPOCHS: Final = 2
"""The version from which on a run has an epoch."""

IN_DOUBT: Final = ("intent", "unknown")
FINAL: Final = ("confirmed", "refused", "not_sent", "resolved")
ENDED: Final = ("filled", "canceled", "rejected", "expired")
"""The states that an order does not leave."""
WHATS: Final = (
    "intent",
    "sent",
    "answer",
    "lost",
    "unknown",
    "execution",
    "confirmed",
    "refused",
    "not_sent",
    "resolved",
)
"""What an entry may tell, roughly in the order of an operation's life.

    intent      a command is about to be sent (a cancel: is being sent): verb, effect, account, command, deadline, targets
    sent        an attempt was written
    answer      the venue said something that did not settle it
    lost        the connection that carried it is gone
    unknown     the caller was told UNKNOWN
    execution   something happened to an order: event, and for an order placed here its state
    confirmed, refused, not_sent   the outcome, when it came at once
    resolved    the outcome, when it was learnt later, by asking or from an operator: outcome and the evidence
"""


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _run(column: str = "", old: str = "", new: str = "") -> str:
    """The table of runs, and what SQLite keeps of it. Given what a version has more than the first."""
    return f"""
CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    prefix TEXT NOT NULL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    durability TEXT NOT NULL,
    opened REAL NOT NULL,
    closed REAL{column}
) STRICT;
CREATE TRIGGER run_is_kept BEFORE DELETE ON run BEGIN
    SELECT RAISE(ABORT, 'a run is not forgotten');
END;
CREATE TRIGGER run_ends_once BEFORE UPDATE ON run
WHEN OLD.closed IS NOT NULL OR (OLD.run, OLD.prefix, OLD.pid, OLD.host, OLD.version, OLD.durability, OLD.opened{old})
     IS NOT (NEW.run, NEW.prefix, NEW.pid, NEW.host, NEW.version, NEW.durability, NEW.opened{new}) BEGIN
    SELECT RAISE(ABORT, 'a run ends once, and nothing else of it changes');
END;
"""


RUN: Final[Mapping[int, str]] = {
    1: _run(),
    2: _run(",\n    epoch INTEGER NOT NULL DEFAULT 0", ", OLD.epoch", ", NEW.epoch"),
}
"""The table of runs, by version."""

_REST: Final = f"""
CREATE TABLE entry (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    at REAL NOT NULL,
    op TEXT,
    venue TEXT NOT NULL,
    what TEXT NOT NULL CHECK (what IN ({_words(WHATS)})),
    order_id TEXT,
    client_order_id TEXT,
    facts TEXT NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE INDEX entry_op ON entry (op) WHERE op IS NOT NULL;

CREATE TABLE operation (
    op TEXT PRIMARY KEY,
    run INTEGER NOT NULL,
    venue TEXT NOT NULL,
    account TEXT NOT NULL,
    verb TEXT NOT NULL CHECK (verb IN ('submit', 'cancel', 'replace', 'cancel_all')),
    order_id TEXT,
    client_order_id TEXT,
    symbol TEXT,
    state TEXT NOT NULL CHECK (state IN ({_words((*IN_DOUBT, *FINAL))})),
    at REAL NOT NULL,
    changed REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE own_order (
    op TEXT PRIMARY KEY,
    venue TEXT NOT NULL,
    order_id TEXT,
    client_order_id TEXT,
    status TEXT,
    live INTEGER NOT NULL CHECK (live IN (0, 1)),
    facts TEXT NOT NULL,
    changed REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER entry_is_next BEFORE INSERT ON entry
WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM entry) BEGIN
    SELECT RAISE(ABORT, 'an entry comes after the last one');
END;
CREATE TRIGGER entry_is_kept BEFORE UPDATE ON entry BEGIN
    SELECT RAISE(ABORT, 'an entry is never changed');
END;
CREATE TRIGGER entry_in_doubt BEFORE DELETE ON entry
WHEN EXISTS (SELECT 1 FROM operation WHERE op = OLD.op) OR EXISTS (SELECT 1 FROM own_order WHERE op = OLD.op) BEGIN
    SELECT RAISE(ABORT, 'an entry goes after its operation and its order');
END;
CREATE TRIGGER last_entry_stays BEFORE DELETE ON entry WHEN OLD.number = (SELECT max(number) FROM entry) BEGIN
    SELECT RAISE(ABORT, 'the last entry stays: the next one is counted from it');
END;

CREATE TRIGGER operation_is_new BEFORE INSERT ON operation WHEN EXISTS (SELECT 1 FROM operation WHERE op = NEW.op) BEGIN
    SELECT RAISE(ABORT, 'an operation begins once');
END;
CREATE TRIGGER operation_forward BEFORE UPDATE ON operation
WHEN OLD.state IN ({_words(FINAL)}) OR NEW.state = 'intent' OR NEW.state = OLD.state
     OR (NEW.op, NEW.run, NEW.venue, NEW.account, NEW.verb, NEW.client_order_id, NEW.symbol, NEW.at)
     IS NOT (OLD.op, OLD.run, OLD.venue, OLD.account, OLD.verb, OLD.client_order_id, OLD.symbol, OLD.at) BEGIN
    SELECT RAISE(ABORT, 'an operation moves forward only');
END;
CREATE TRIGGER operation_in_doubt_stays BEFORE DELETE ON operation WHEN OLD.state IN ({_words(IN_DOUBT)}) BEGIN
    SELECT RAISE(ABORT, 'an operation in doubt is not forgotten');
END;
CREATE TRIGGER operation_goes_after_order BEFORE DELETE ON operation
WHEN EXISTS (SELECT 1 FROM own_order WHERE op = OLD.op) BEGIN
    SELECT RAISE(ABORT, 'an operation goes after its order');
END;
CREATE TRIGGER order_is_new BEFORE INSERT ON own_order WHEN EXISTS (SELECT 1 FROM own_order WHERE op = NEW.op) BEGIN
    SELECT RAISE(ABORT, 'an order is placed once');
END;
CREATE TRIGGER order_stays_ended BEFORE UPDATE ON own_order
WHEN (NOT OLD.live AND NEW.live)
     OR (NEW.op, NEW.venue, NEW.client_order_id) IS NOT (OLD.op, OLD.venue, OLD.client_order_id) BEGIN
    SELECT RAISE(ABORT, 'an order that has ended never lives again');
END;
CREATE TRIGGER live_order_stays BEFORE DELETE ON own_order
WHEN OLD.live OR EXISTS (SELECT 1 FROM operation WHERE op = OLD.op AND state IN ({_words(IN_DOUBT)})) BEGIN
    SELECT RAISE(ABORT, 'an order that may be open is not forgotten');
END;

PRAGMA application_id = {APPLICATION_ID};
"""

SCHEMAS: Final[Mapping[int, str]] = {
    version: f"{run}{_REST}PRAGMA user_version = {version};\n" for version, run in RUN.items()
}
"""What makes a journal of each version that this one reads."""
SCHEMA: Final = SCHEMAS[SCHEMA_VERSION]
