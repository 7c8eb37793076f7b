-- name: next_tries
SELECT min(not_before) AS at FROM effects WHERE state = 'ready'
UNION ALL SELECT min(not_before) FROM deliveries WHERE state = 'new';

-- name: anything_to_come
-- Whether the scenario's events still cause work; repeating timers do not count.
SELECT 1 WHERE EXISTS (SELECT 1 FROM effects WHERE state IN ('ready', 'running'))
            OR EXISTS (SELECT 1 FROM deliveries WHERE state = 'new')
            OR EXISTS (SELECT 1 FROM timers WHERE interval IS NULL);

-- name: measured_jobs
SELECT j.kind, j.queue, j.submitted, j.started, j.finished, j.native_id LIKE 'standby %' AS warm,
    json_extract(e.data, '$.instruments') AS detectors
FROM jobs AS j LEFT JOIN events AS e ON e.graceid = j.subject
WHERE j.state = 'DONE' AND j.submitted IS NOT NULL AND j.started IS NOT NULL ORDER BY j.finished DESC LIMIT :limit;

-- name: detectors_of_job
SELECT json_extract(e.data, '$.instruments') AS detectors
FROM jobs AS j JOIN events AS e ON e.graceid = j.subject WHERE j.key = ?;

-- name: measured_writes
SELECT finished - started AS took FROM effects
WHERE state = 'done' AND started IS NOT NULL AND kind LIKE 'gracedb.%' ORDER BY id DESC LIMIT :limit;

-- name: received
-- The messages of listeners that could be read, in order of time; `at` in Unix s.
SELECT source, topic, payload, coalesce(published, received) AS at FROM messages AS m
WHERE source NOT IN ('timer', 'job', 'lane') AND coalesce(published, received) BETWEEN :since AND :until
  AND EXISTS (SELECT 1 FROM deliveries WHERE message_id = m.id AND state <> 'dead')
ORDER BY at, id;

-- name: jobs_done
SELECT kind, queue, subject, created, submitted, started, finished, native_id LIKE 'standby %' AS warm FROM jobs
WHERE state = 'DONE';

-- name: jobs_by_pilots
SELECT count(*) AS jobs FROM jobs WHERE state = 'DONE' AND queue = :queue AND native_id LIKE 'standby %' AND created BETWEEN :since AND :until;

-- name: counts
SELECT (SELECT count(*) FROM events) AS events,
       (SELECT count(*) FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
            WHERE d.state = 'dead' AND m.received BETWEEN :since AND :until)
           + (SELECT count(*) FROM effects WHERE state = 'dead' AND created BETWEEN :since AND :until) AS dead;

-- name: superevents_of_events
SELECT graceid, superevent FROM events;

-- name: notices_frozen
SELECT superevent FROM public_notices WHERE frozen IS NOT NULL;
