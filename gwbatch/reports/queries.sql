-- name: report_lanes
SELECT d.lane, count(*) AS depth, min(m.received) AS oldest, sum(d.attempts > 0) AS retrying
FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
WHERE d.state = 'new' GROUP BY d.lane;

-- name: report_open_effects
SELECT state, count(*) AS n, min(max(created, coalesce(expected, 0))) AS oldest FROM effects
WHERE state IN ('ready', 'running') GROUP BY state;

-- name: report_troubled_effects
SELECT key, attempts, error FROM effects
WHERE state = 'ready' AND error IS NOT NULL ORDER BY id LIMIT 5;

-- name: report_open_jobs
-- The first condition repeats that of the partial index. Without it, SQLite scans every job.
SELECT key, kind, queue, state, attempt, host, cores, reason, state_since FROM jobs
WHERE state NOT IN ('DONE', 'FAILED', 'CANCELLED') AND state <> 'LOST'
ORDER BY state = 'RUNNING' DESC, priority DESC, created LIMIT 50;

-- name: oldest_queued_jobs
-- SQLite takes the key from the row with the smallest time.
SELECT queue, key, min(state_since) AS since, count(*) AS n FROM jobs
WHERE state NOT IN ('DONE', 'FAILED', 'CANCELLED') AND state = 'QUEUED' AND key NOT LIKE 'standby/%' GROUP BY queue;

-- name: report_dead_count
SELECT (SELECT count(*) FROM deliveries WHERE state = 'dead')
     + (SELECT count(*) FROM effects WHERE state = 'dead') AS n;

-- name: report_dead
-- Dead messages (m17) and effects (e5), newest first.
SELECT 'm' || d.id AS id, d.lane || ': ' || m.topic AS what, d.reason AS reason, d.decided AS at
FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.state = 'dead'
UNION ALL
SELECT 'e' || id, key, error, finished FROM effects WHERE state = 'dead'
ORDER BY 4 DESC LIMIT :limit;

-- name: report_message_latencies
SELECT m.published, m.received, d.decided, d.lane
FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
WHERE d.state = 'done' AND m.source NOT IN ('timer', 'job', 'lane') ORDER BY d.id DESC LIMIT :limit;

-- name: report_effect_latencies
SELECT kind, finished - created AS whole FROM effects
WHERE state = 'done' ORDER BY id DESC LIMIT :limit;

-- name: report_externals
SELECT x.*, c.superevent, c.dt, c.far_time, c.overlap, c.far_spacetime, c.announced, s.graceid AS superevent_id
FROM external_events AS x
LEFT JOIN coincidences AS c ON c.external = x.key AND c.chosen
LEFT JOIN superevents AS s ON s.key = c.superevent
ORDER BY x.created DESC, x.key LIMIT :limit;

-- name: dead_message
SELECT d.*, m.topic, m.payload FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
WHERE d.id = ? AND d.state = 'dead';

-- name: dead_effect
SELECT * FROM effects WHERE id = ? AND state = 'dead';

-- name: list_notices
SELECT n.*, s.graceid AS superevent_id, s.t_0 FROM public_notices AS n LEFT JOIN superevents AS s ON s.key = n.superevent
ORDER BY n.id DESC LIMIT :limit;

-- name: unfinished_notices
-- Unfinished or withheld notices, with their state at each broker.
SELECT n.id, n.superevent, s.graceid AS superevent_id, n.kind, n.ordinal, n.state, n.planned, n.frozen, n.delivered,
    n.reason, p.broker, p.state AS send_state, p.reason AS send_reason
FROM public_notices AS n
LEFT JOIN superevents AS s ON s.key = n.superevent
LEFT JOIN public_sends AS p ON p.notice = n.id
WHERE n.state IN ('planned', 'frozen', 'withheld') OR (n.state IN ('delivered', 'stored') AND p.state <> 'delivered')
   OR n.state = 'delivered'
ORDER BY n.id;

-- name: first_message_about
-- When the first alert about an event was published, and when it was decided on.
SELECT m.published, d.at FROM decisions AS d JOIN messages AS m ON m.id = d.message_id
WHERE json_extract(d.detail, '$.event') = ? AND d.action IN ('create', 'add_event') ORDER BY d.id LIMIT 1;

-- name: milestones
-- When each superevent reached its milestones (Unix s), newest superevent first: its first alert, map and notice.
SELECT s.key, s.graceid, s.preferred, s.category, s.t_0, s.created AS known,
    m.published, m.received, d.at AS decided,
    (SELECT e.finished FROM effects AS e WHERE e.key = s.key || '/create' AND e.state = 'done') AS created,
    j.submitted, j.started, j.finished,
    (SELECT min(e.finished) FROM effects AS e WHERE e.key >= s.key || '/' AND e.key < s.key || '0'
        AND e.state = 'done' AND e.kind IN ('gracedb.upload', 'gracedb.copy')
        AND e.key LIKE '%.multiorder.fits%') AS shown,
    n.frozen, n.delivered, n.stored
FROM superevents AS s
LEFT JOIN decisions AS d ON d.id = (
    SELECT min(id) FROM decisions WHERE superevent = s.key AND action = 'create')
LEFT JOIN messages AS m ON m.id = d.message_id AND m.source NOT IN ('timer', 'job', 'lane')
LEFT JOIN jobs AS j ON j.key = (
    SELECT key FROM jobs WHERE subject = s.preferred AND kind = 'localize' AND +state = 'DONE' ORDER BY created LIMIT 1)
LEFT JOIN public_notices AS n ON n.id = (
    SELECT min(id) FROM public_notices WHERE superevent = s.key AND frozen IS NOT NULL)
WHERE (:category = '' OR s.category = :category)
  AND (:names = '[]' OR s.key IN (SELECT value FROM json_each(:names))
       OR s.graceid IN (SELECT value FROM json_each(:names)))
ORDER BY s.id DESC LIMIT :limit;

-- name: list_superevents
SELECT s.id, s.key, s.graceid AS superevent_id, s.category, s.t_0, s.preferred, s.labels, s.created,
    (SELECT count(*) FROM events AS e WHERE e.superevent = s.key) AS members,
    (SELECT json_extract(data, '$.far') FROM events AS e WHERE e.graceid = s.preferred) AS far,
    (SELECT count(*) FROM coincidences AS c WHERE c.superevent = s.key AND c.chosen) AS externals
FROM superevents AS s WHERE {where} ORDER BY s.id DESC LIMIT ?;

-- name: list_jobs
SELECT j.rowid, j.key, j.kind, j.queue, j.subject, j.attempt, j.state, j.host, j.cores, j.reason, j.created,
    j.submitted, j.started, j.finished, j.native_id, j.priority
FROM jobs AS j WHERE {where} ORDER BY j.created DESC, j.rowid DESC LIMIT ?;

-- name: list_messages
SELECT m.id, m.source, m.topic, m.published, m.received, length(m.payload) AS size
FROM messages AS m WHERE {where} ORDER BY m.id DESC LIMIT ?;

-- name: list_dead
-- Like report_dead, but searched and paged: from a time and name backwards.
SELECT * FROM (
    SELECT 'm' || d.id AS id, d.lane || ': ' || m.topic AS what, d.reason AS reason, coalesce(d.decided, 0.0) AS at
    FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.state = 'dead'
    UNION ALL
    SELECT 'e' || id, key, error, coalesce(finished, 0.0) FROM effects WHERE state = 'dead'
) WHERE (at, id) < (:at, :id) AND (:words = '' OR instr(lower(what || ' ' || coalesce(reason, '')), lower(:words)))
ORDER BY at DESC, id DESC LIMIT :limit;

-- name: uploads_before_notice
SELECT created, finished
FROM effects
WHERE key LIKE ? AND kind IN ('gracedb.upload', 'gracedb.copy');

-- name: effects_of_subject
SELECT key, kind, state, attempts, error, created, finished
FROM effects
WHERE key >= ? AND key < ?
ORDER BY id DESC LIMIT ?;

-- name: timeline
SELECT d.at, d.action, d.detail, d.reason, m.topic, m.published, m.source IN ('timer', 'job', 'lane') AS ours
FROM decisions AS d
LEFT JOIN messages AS m ON m.id = d.message_id
WHERE d.superevent = ? AND d.action <> 'none'
ORDER BY d.id;

-- name: newest_arrivals
SELECT published - received AS early
FROM messages
WHERE published IS NOT NULL AND source NOT IN ('timer', 'job', 'lane')
ORDER BY id DESC LIMIT 21;

-- name: mock_superevents
SELECT key, graceid, created, labels
FROM superevents
WHERE category = 'mdc' AND created > ?
ORDER BY id DESC;

-- name: products_of_superevent
SELECT name, json_extract(facts, '$.method') AS method
FROM products
WHERE subject = ?
ORDER BY created;

-- name: newest_failed_jobs
SELECT key, kind, attempt, reason, finished
FROM jobs
WHERE state IN ('FAILED', 'LOST')
ORDER BY finished DESC LIMIT 10;

-- name: messages_per_minute
SELECT CAST((? - received) / 60 AS INTEGER) AS minute, count(*) AS n
FROM messages
WHERE received > ? AND source NOT IN ('timer', 'job', 'lane')
GROUP BY minute;

-- name: jobs_of_subjects
SELECT key, kind, queue, subject, attempt, state, host, cores, reason, created, submitted, started, finished, native_id,
       priority
FROM jobs WHERE subject IN (SELECT value FROM json_each(?)) ORDER BY created;

-- name: orders_of_job
-- What people ordered for one job, oldest first; `at` in Unix s.
SELECT at, substr(action, 5) AS what, json_extract(detail, '$.attempt') AS attempt, reason FROM decisions
WHERE superevent IS NULL AND action IN ('job_release', 'job_cancel', 'job_retry')
  AND json_extract(detail, '$.job') = ? ORDER BY id;
