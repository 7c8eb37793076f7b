-- For the console's lists: paging and searching through a million rows.  The indexes are on expressions, so that no
-- other query is answered by them: "kind = 'localize' AND subject = ..." must go by the subject.
CREATE INDEX jobs_listed_by_state ON jobs (state || '', created);
CREATE INDEX jobs_listed_by_kind ON jobs (kind || '', created);
CREATE INDEX jobs_listed_by_both ON jobs (kind || ' ' || state, created);
CREATE INDEX messages_listed_by_topic ON messages (topic || '', id);

CREATE TABLE superevent_labels (
    label TEXT NOT NULL,
    id INTEGER NOT NULL,                 -- of the superevent
    PRIMARY KEY (label, id)
) WITHOUT ROWID;
INSERT INTO superevent_labels SELECT DISTINCT l.value, s.id FROM superevents AS s, json_each(s.labels) AS l;

CREATE TRIGGER superevent_labelled AFTER INSERT ON superevents
BEGIN
    INSERT OR IGNORE INTO superevent_labels SELECT value, NEW.id FROM json_each(NEW.labels);
END;
CREATE TRIGGER superevent_relabelled AFTER UPDATE OF labels ON superevents WHEN NEW.labels <> OLD.labels
BEGIN
    DELETE FROM superevent_labels WHERE id = OLD.id AND label IN (SELECT value FROM json_each(OLD.labels));
    INSERT OR IGNORE INTO superevent_labels SELECT value, NEW.id FROM json_each(NEW.labels);
END;
CREATE TRIGGER superevent_forgotten AFTER DELETE ON superevents
BEGIN
    DELETE FROM superevent_labels WHERE id = OLD.id AND label IN (SELECT value FROM json_each(OLD.labels));
END;
