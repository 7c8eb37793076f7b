CREATE TABLE pilots (
    key TEXT PRIMARY KEY,                -- of its batch job: standby/QUEUE/NUMBER
    queue TEXT NOT NULL,
    directory TEXT NOT NULL,
    native_id TEXT,                      -- NULL until the batch system has it
    state TEXT NOT NULL,                 -- as of any job
    reason TEXT,
    host TEXT,
    cores INTEGER,
    asked REAL NOT NULL,                 -- Unix time, s
    started REAL,
    ready REAL,                          -- all was imported
    finished REAL,
    idle REAL NOT NULL DEFAULT 0,        -- s, as it has told
    busy REAL NOT NULL DEFAULT 0,
    tasks INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX pilots_open ON pilots (queue, finished);
