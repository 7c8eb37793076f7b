-- What is wrong at the moment, and whether people were told.
CREATE TABLE troubles (
    key TEXT PRIMARY KEY,
    level INTEGER NOT NULL,
    text TEXT NOT NULL,
    since REAL NOT NULL,
    told INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
