-- External triggers: their notices as they came, the events made of them, and what they coincide with.
CREATE TABLE notices (
    external TEXT NOT NULL,              -- key of the external event
    digest TEXT NOT NULL,                -- SHA-256 of the content: one row whatever transports carried it
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    received REAL NOT NULL,
    PRIMARY KEY (external, digest)
);

CREATE TABLE external_events (
    key TEXT PRIMARY KEY,                -- E@OBSERVATORY-TRIGGER: one for one trigger, under any race
    graceid TEXT UNIQUE,                 -- filled in when the create effect returns
    observatory TEXT NOT NULL,
    trigger_id TEXT NOT NULL,
    search TEXT NOT NULL,
    time REAL NOT NULL,                  -- GPS s
    far REAL,                            -- Hz, the observatory's own
    test INTEGER NOT NULL,
    chosen TEXT NOT NULL,                -- the notice that counts
    located TEXT,                        -- the notice that its sky map is made from
    reasons TEXT NOT NULL DEFAULT '[]',  -- why it is no burst, as its notices say
    by_hand INTEGER,                     -- 1: somebody set NOT_GRB in GraceDB, 0: took it away
    labels TEXT NOT NULL DEFAULT '[]',
    expected TEXT NOT NULL DEFAULT '[]', -- label changes of ours that GraceDB's alerts have not shown yet
    created REAL NOT NULL,
    updated REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX external_events_time ON external_events (time);

-- Every superevent in the window of an external event; the chosen one is its coincidence.
CREATE TABLE coincidences (
    external TEXT NOT NULL REFERENCES external_events (key),
    superevent TEXT NOT NULL,            -- local key
    dt REAL NOT NULL,                    -- s, gravitational wave minus external
    window_low REAL NOT NULL,
    window_high REAL NOT NULL,
    far_time REAL NOT NULL,              -- Hz
    overlap REAL,
    far_spacetime REAL,                  -- Hz; infinite where the maps do not overlap at all
    chosen INTEGER NOT NULL DEFAULT 0,
    announced INTEGER NOT NULL DEFAULT 0, -- RAVEN_ALERT was set for it
    PRIMARY KEY (external, superevent)
) WITHOUT ROWID;
CREATE INDEX coincidences_superevent ON coincidences (superevent);
