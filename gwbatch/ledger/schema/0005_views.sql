-- What status, console and metrics ask for must not depend on how much has ever happened.
CREATE INDEX jobs_state ON jobs (state, finished);
CREATE INDEX jobs_created ON jobs (created);
CREATE INDEX decisions_message ON decisions (message_id);
