-- External events that somebody else made in GraceDB, and effects that wait for what is expected later.
ALTER TABLE external_events ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE effects ADD COLUMN expected REAL;   -- until then waiting is no trouble (Unix s)
