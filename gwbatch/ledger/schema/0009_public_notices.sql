-- Notices that go to astronomers: decided once, frozen with their bytes, sent to each broker at least once.
CREATE TABLE public_notices (
    id INTEGER PRIMARY KEY,
    superevent TEXT NOT NULL,            -- key of the superevent
    kind TEXT NOT NULL,                  -- preliminary, retraction ...
    ordinal INTEGER NOT NULL,            -- 1 for the first of its kind
    occasion TEXT NOT NULL,              -- what asked for it: one occasion asks once
    state TEXT NOT NULL,                 -- planned, refused, frozen, dry-run, withheld, delivered, stored
    reason TEXT,                         -- why it was refused or withheld
    orders TEXT NOT NULL DEFAULT '{}',   -- JSON: who ordered it, why, and which files it shall have
    category TEXT NOT NULL,
    planned REAL NOT NULL,               -- Unix s, like all times here
    frozen REAL,
    delivered REAL,                      -- to the first broker
    stored REAL,                         -- in GraceDB
    labelled REAL,
    drafted REAL,                        -- the circular
    uid TEXT,                            -- the _id of the messages
    time_created TEXT,                   -- as the notice says
    record TEXT,                         -- JSON: the notice without its maps
    decision TEXT,                       -- JSON: preferred event, versions of its products, what was missing and why
    UNIQUE (superevent, kind, occasion)
);
CREATE INDEX public_notices_state ON public_notices (state);

CREATE TABLE public_bodies (
    notice INTEGER NOT NULL REFERENCES public_notices (id),
    form TEXT NOT NULL,                  -- avro or json
    variant INTEGER NOT NULL,            -- 0: whole; larger: without its maps, for brokers that take no more
    body BLOB,                           -- NULL once every broker and GraceDB have it and it is old
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (notice, form, variant)
) WITHOUT ROWID;

CREATE TABLE public_sends (
    notice INTEGER NOT NULL REFERENCES public_notices (id),
    broker TEXT NOT NULL,                -- its name in the site profile
    topic TEXT NOT NULL,
    form TEXT NOT NULL,
    variant INTEGER NOT NULL,
    left_out TEXT,                       -- what the variant lacks
    state TEXT NOT NULL,                 -- waiting, sending, delivered, withheld
    reason TEXT,
    round INTEGER NOT NULL DEFAULT 0,    -- how often somebody had it sent after it was withheld
    tries INTEGER NOT NULL DEFAULT 0,    -- how often it was handed to the broker
    partition INTEGER,
    mark INTEGER,                        -- end of the partition before the first try
    offset INTEGER,
    delivered REAL,
    PRIMARY KEY (notice, broker)
) WITHOUT ROWID;
