-- How long each stage took, counted as it happens: what is pruned later stays counted, and nobody scans a million rows.
CREATE TABLE stage_latencies (
    stage TEXT NOT NULL,
    upper REAL NOT NULL,                 -- s; the bucket's upper bound, 9e999 for all above
    count INTEGER NOT NULL,
    seconds REAL NOT NULL,               -- sum
    PRIMARY KEY (stage, upper)
) WITHOUT ROWID;

CREATE TABLE latency_bounds (upper REAL PRIMARY KEY) WITHOUT ROWID;
INSERT INTO latency_bounds VALUES
    (0.005), (0.01), (0.025), (0.05), (0.1), (0.25), (0.5), (1), (2.5), (5), (10), (30), (60), (120), (300), (600),
    (1800), (3600), (9e999);

-- A row that goes in here is counted: the view's trigger is the one place that knows how.
CREATE VIEW observed AS SELECT '' AS stage, 0.0 AS value;
CREATE TRIGGER count_latency INSTEAD OF INSERT ON observed WHEN NEW.value IS NOT NULL
BEGIN
    INSERT INTO stage_latencies (stage, upper, count, seconds)
    VALUES (NEW.stage, (SELECT min(upper) FROM latency_bounds WHERE upper >= NEW.value), 1, max(NEW.value, 0))
    ON CONFLICT (stage, upper) DO UPDATE SET count = count + 1, seconds = seconds + excluded.seconds;
END;

CREATE TRIGGER message_received AFTER INSERT ON messages
WHEN NEW.published IS NOT NULL AND NEW.source NOT IN ('timer', 'job', 'lane')
BEGIN
    INSERT INTO observed VALUES ('published to received', NEW.received - NEW.published);
END;

CREATE TRIGGER delivery_decided AFTER UPDATE OF state ON deliveries
WHEN NEW.state = 'done' AND OLD.state <> 'done'
BEGIN
    INSERT INTO observed
    SELECT 'received to decided: ' || NEW.lane, NEW.decided - received FROM messages
    WHERE id = NEW.message_id AND source NOT IN ('timer', 'job', 'lane');
END;

CREATE TRIGGER effect_done AFTER UPDATE OF state ON effects
WHEN NEW.state = 'done' AND OLD.state <> 'done'
BEGIN
    INSERT INTO observed VALUES ('decided to done: ' || NEW.kind, NEW.finished - NEW.created);
END;

CREATE TABLE node_seconds (
    use TEXT PRIMARY KEY,                -- computing, idle: of jobs that have a whole node
    seconds REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO node_seconds VALUES ('computing', 0), ('idle', 0);

CREATE TRIGGER job_done AFTER UPDATE OF state ON jobs
WHEN NEW.state = 'DONE' AND OLD.state <> 'DONE'
BEGIN
    INSERT INTO observed VALUES ('job ' || NEW.kind || ': waiting', max(0, NEW.started - NEW.submitted));
    INSERT INTO observed VALUES ('job ' || NEW.kind || ': running', NEW.finished - NEW.started);
END;

-- Whether it ended well or not, a job that had a node held it.
CREATE TRIGGER node_left AFTER UPDATE OF state ON jobs
WHEN NEW.state IN ('DONE', 'FAILED', 'LOST', 'CANCELLED') AND OLD.state NOT IN ('DONE', 'FAILED', 'LOST', 'CANCELLED')
    AND NEW.queue = 'openmp' AND NEW.started IS NOT NULL AND NEW.finished IS NOT NULL
BEGIN
    UPDATE node_seconds SET seconds = seconds + coalesce(json_extract(NEW.result, '$.run_seconds'), 0)
    WHERE use = 'computing';
    UPDATE node_seconds SET seconds = seconds
        + max(0, NEW.finished - NEW.started - coalesce(json_extract(NEW.result, '$.run_seconds'), 0))
    WHERE use = 'idle';
END;
