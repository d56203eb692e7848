-- The tables of a journal of version 1, word for word as venue-router made them before runs had an epoch.

CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    prefix TEXT NOT NULL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    durability TEXT NOT NULL,
    opened REAL NOT NULL,
    closed REAL
) STRICT;

CREATE TABLE entry (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    at REAL NOT NULL,
    op TEXT,
    venue TEXT NOT NULL,
    what TEXT NOT NULL CHECK (what IN ('intent', 'sent', 'answer', 'lost', 'unknown', 'execution', 'confirmed', 'refused', 'not_sent', 'resolved')),
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
    state TEXT NOT NULL CHECK (state IN ('intent', 'unknown', 'confirmed', 'refused', 'not_sent', 'resolved')),
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

CREATE TRIGGER run_is_kept BEFORE DELETE ON run BEGIN
    SELECT RAISE(ABORT, 'a run is not forgotten');
END;
CREATE TRIGGER run_ends_once BEFORE UPDATE ON run
WHEN OLD.closed IS NOT NULL OR (OLD.run, OLD.prefix, OLD.pid, OLD.host, OLD.version, OLD.durability, OLD.opened)
     IS NOT (NEW.run, NEW.prefix, NEW.pid, NEW.host, NEW.version, NEW.durability, NEW.opened) BEGIN
    SELECT RAISE(ABORT, 'a run ends once, and nothing else of it changes');
END;
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
WHEN OLD.state IN ('confirmed', 'refused', 'not_sent', 'resolved') OR NEW.state = 'intent' OR NEW.state = OLD.state
     OR (NEW.op, NEW.run, NEW.venue, NEW.account, NEW.verb, NEW.client_order_id, NEW.symbol, NEW.at)
     IS NOT (OLD.op, OLD.run, OLD.venue, OLD.account, OLD.verb, OLD.client_order_id, OLD.symbol, OLD.at) BEGIN
    SELECT RAISE(ABORT, 'an operation moves forward only');
END;
CREATE TRIGGER operation_in_doubt_stays BEFORE DELETE ON operation WHEN OLD.state IN ('intent', 'unknown') BEGIN
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
WHEN OLD.live OR EXISTS (SELECT 1 FROM operation WHERE op = OLD.op AND state IN ('intent', 'unknown')) BEGIN
    SELECT RAISE(ABORT, 'an order that may be open is not forgotten');
END;

PRAGMA application_id = 1448233521;
PRAGMA user_version = 1;
