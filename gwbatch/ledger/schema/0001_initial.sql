-- Everything gwbatch knows.  Times are Unix seconds, GPS times say so; JSON columns hold objects or lists.

-- What was received, as it was received.  One row per place in a stream: (source, topic, partition, offset),
-- within an epoch of that stream (a topic that was deleted and made again starts a new epoch).
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,               -- listener, or timer, job
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    digest TEXT NOT NULL,               -- SHA-256 of the payload: the same alert on two topics
    payload BLOB NOT NULL,
    published REAL,
    received REAL NOT NULL,
    UNIQUE (source, topic, partition, epoch, offset)
);
CREATE INDEX messages_received ON messages (received);

-- One row for each lane that has to see a message.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    lane TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('new', 'done', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,  -- how often the process died over it
    not_before REAL NOT NULL DEFAULT 0,
    reason TEXT,
    traceback TEXT,
    decided REAL,
    UNIQUE (message_id, lane)
);
CREATE INDEX deliveries_new ON deliveries (lane, id) WHERE state = 'new';
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'dead';

-- A handler sees one content once, however many topics or transports carried it.
CREATE TABLE handled (
    digest TEXT NOT NULL,
    handler TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (digest, handler)
) WITHOUT ROWID;
CREATE INDEX handled_at ON handled (at);

-- What was decided about a message, with the reason.
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    message_id INTEGER,
    at REAL NOT NULL,
    superevent TEXT,                    -- local key
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX decisions_superevent ON decisions (superevent, id);

-- What is to be done to the world, each once.
CREATE TABLE effects (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,              -- effects of one subject keep their order
    args TEXT NOT NULL,
    after TEXT,                         -- key of an effect that must be done before
    priority INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN ('ready', 'running', 'done', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    owner INTEGER,                      -- fencing token of the dispatcher that carries it out
    message_id INTEGER,
    result TEXT,
    error TEXT,
    created REAL NOT NULL,
    started REAL,
    finished REAL
);
CREATE INDEX effects_open ON effects (subject, id) WHERE state IN ('ready', 'running');
CREATE INDEX effects_ready ON effects (priority DESC, id) WHERE state = 'ready';
CREATE INDEX effects_dead ON effects (id) WHERE state = 'dead';

-- Durable timers; with an interval they come again.
CREATE TABLE timers (
    key TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    lane TEXT NOT NULL,
    payload TEXT NOT NULL,
    due REAL NOT NULL,
    interval REAL
) WITHOUT ROWID;
CREATE INDEX timers_due ON timers (due);

-- Who may decide: the token grows with each new holder and is checked inside the deciding transaction.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    pid_started REAL NOT NULL,
    token INTEGER NOT NULL,
    acquired REAL NOT NULL,
    heartbeat REAL NOT NULL,
    released INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- One row per computation; `attempt` counts how often it was handed to a scheduler.
CREATE TABLE jobs (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    queue TEXT NOT NULL,
    subject TEXT NOT NULL,
    request TEXT NOT NULL,              -- inputs, outputs, parameters, what follows
    priority INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 1,
    state TEXT NOT NULL,
    phase TEXT,                         -- last known state, while `state` is UNKNOWN
    scheduler TEXT,
    native_id TEXT,
    directory TEXT,
    host TEXT,
    cores INTEGER,
    reason TEXT,
    created REAL NOT NULL,
    submitted REAL,
    state_since REAL NOT NULL,
    started REAL,
    finished REAL,
    result TEXT
);
CREATE INDEX jobs_open ON jobs (state) WHERE state NOT IN ('DONE', 'FAILED', 'CANCELLED');
CREATE INDEX jobs_subject ON jobs (subject);

-- The mirror: what a decision needs to know of GraceDB, so that it needs no network.
CREATE TABLE superevents (
    id INTEGER PRIMARY KEY,             -- order of creation
    key TEXT NOT NULL UNIQUE,           -- local key, from the moment of the decision
    graceid TEXT UNIQUE,                -- filled in when the create effect returns
    category TEXT NOT NULL,
    t_start REAL NOT NULL,              -- GPS s
    t_0 REAL NOT NULL,
    t_end REAL NOT NULL,
    preferred TEXT NOT NULL,
    labels TEXT NOT NULL DEFAULT '[]',
    expected TEXT NOT NULL DEFAULT '{}', -- what we decided and GraceDB's alerts have not shown yet
    created REAL NOT NULL,
    updated REAL NOT NULL
);
CREATE INDEX superevents_t_0 ON superevents (category, t_0);

-- Keys of superevents that turned out to be one with another.
CREATE TABLE aliases (
    key TEXT PRIMARY KEY,
    superevent TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (
    graceid TEXT PRIMARY KEY,
    superevent TEXT REFERENCES superevents (key),
    position INTEGER NOT NULL DEFAULT 0, -- order of joining the superevent
    data TEXT NOT NULL,                  -- the event as the newest alert described it
    updated REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_superevent ON events (superevent, position);

-- Data products that exist, of events and superevents.
CREATE TABLE products (
    subject TEXT NOT NULL,               -- graceid of an event, or local key of a superevent
    name TEXT NOT NULL,
    version TEXT NOT NULL,               -- what it was made from
    path TEXT,                           -- on this machine, when one of our jobs made it
    facts TEXT NOT NULL DEFAULT '{}',    -- e.g. whether a map has distances
    created REAL NOT NULL,
    PRIMARY KEY (subject, name)
) WITHOUT ROWID;

-- Where each listener stands; authoritative, unlike offsets committed to a broker.
CREATE TABLE offsets (
    listener TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    high_watermark INTEGER,
    gap INTEGER NOT NULL DEFAULT 0,      -- messages the broker dropped before we could read them
    updated REAL NOT NULL,
    PRIMARY KEY (listener, topic, partition)
) WITHOUT ROWID;

CREATE TABLE heartbeats (
    name TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    started REAL NOT NULL,
    last_poll REAL NOT NULL,
    connected INTEGER NOT NULL DEFAULT 0,
    last_message REAL,
    restarts INTEGER NOT NULL DEFAULT 0,
    note TEXT
) WITHOUT ROWID;
