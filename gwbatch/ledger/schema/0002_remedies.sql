-- What was done for a job already: how often it was released from hold, and on which hosts it came to grief.
ALTER TABLE jobs ADD COLUMN releases INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN avoid TEXT NOT NULL DEFAULT '[]';
