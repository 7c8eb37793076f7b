-- For the console's lists: paging and searching through a million rows.
CREATE INDEX jobs_state_created ON jobs (state, created);
CREATE INDEX jobs_kind_created ON jobs (kind, created);
CREATE INDEX messages_topic ON messages (topic, id);
