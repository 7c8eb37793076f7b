-- External events that somebody else made in GraceDB, and effects that wait for what is expected later.
ALTER TABLE external_events ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE effects ADD COLUMN expected REAL;   -- until then waiting is no trouble (Unix s)

-- Topics that a listener wants and the broker does not have yet: when they appear they are read from their beginning.
CREATE TABLE awaited_topics (
    listener TEXT NOT NULL,
    topic TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (listener, topic)
) WITHOUT ROWID;

-- What the dispatcher decides by: every command that explains a decision goes by it too.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,               -- policy, profile
    value TEXT NOT NULL,                 -- JSON
    recorded REAL NOT NULL
) WITHOUT ROWID;

-- What GraceDB said of an event that somebody else made when this notice was read from it (JSON).
ALTER TABLE notices ADD COLUMN said TEXT;
