-- name: next_deliveries
-- The oldest due deliveries of a lane, and their sizes.
SELECT d.id, length(m.payload) AS size
FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
WHERE d.lane = :lane AND d.state = 'new' AND d.not_before <= :now
ORDER BY d.id LIMIT :limit;

-- name: load_delivery
SELECT d.id, d.message_id, d.attempts, d.crashes, m.source, m.topic, m.digest, m.payload, m.received
FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.id = ?;

-- name: next_effect
-- The best effect that may run now: it is due, the first of its subject, and the effect that it waits for is done.
SELECT e.id FROM effects AS e
WHERE e.state = 'ready' AND e.not_before <= :now
  AND NOT EXISTS (
      SELECT 1 FROM effects AS p
      WHERE p.subject = e.subject AND p.id < e.id AND p.state IN ('ready', 'running'))
  AND (e.after IS NULL OR EXISTS (SELECT 1 FROM effects AS d WHERE d.key = e.after AND d.state = 'done'))
ORDER BY e.priority DESC, e.id LIMIT 1;

-- name: claim_effect
UPDATE effects SET state = 'running', attempts = attempts + 1, started = :now, owner = :owner WHERE id = :id
RETURNING id, key, kind, args, after, attempts, message_id, created;

-- name: next_offset
SELECT coalesce(max(offset), -1) + 1 FROM messages
WHERE source = :source AND topic = :topic AND partition = 0 AND epoch = 0;

-- name: put_offset
INSERT INTO offsets (listener, topic, partition, epoch, next_offset, high_watermark, gap, updated)
VALUES (:listener, :topic, :partition, :epoch, :next_offset, :high_watermark, :gap, :now)
ON CONFLICT (listener, topic, partition) DO UPDATE SET
    epoch = excluded.epoch, next_offset = excluded.next_offset, gap = gap + excluded.gap,
    high_watermark = coalesce(excluded.high_watermark, high_watermark), updated = excluded.updated;

-- name: beat
INSERT INTO heartbeats (name, pid, started, last_poll, connected, last_message, note)
VALUES (:name, :pid, :started, :now, :connected, :last_message, :note)
ON CONFLICT (name) DO UPDATE SET
    pid = excluded.pid, started = excluded.started, last_poll = excluded.last_poll,
    connected = excluded.connected, last_message = coalesce(excluded.last_message, last_message),
    note = excluded.note;

-- name: put_lease
INSERT INTO leases (name, host, pid, pid_started, token, acquired, heartbeat, released)
VALUES (:name, :host, :pid, :pid_started, :token, :now, :now, 0)
ON CONFLICT (name) DO UPDATE SET
    host = excluded.host, pid = excluded.pid, pid_started = excluded.pid_started, token = excluded.token,
    acquired = excluded.acquired, heartbeat = excluded.heartbeat, released = 0;

-- name: prune_messages
-- Old messages that every lane has handled; dead letters stay until an operator retries them.
DELETE FROM messages WHERE id IN (
    SELECT id FROM messages WHERE received < :before AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE message_id = messages.id AND state <> 'done')
    ORDER BY received LIMIT :limit);

-- name: put_job
INSERT OR IGNORE INTO jobs (key, kind, queue, subject, request, priority, state, created, state_since)
VALUES (:key, :kind, :queue, :subject, :request, :priority, :state, :now, :now);

-- name: submitted_job
UPDATE jobs SET state = :state, phase = :state, state_since = :now, submitted = :now, reason = NULL,
    scheduler = :scheduler, native_id = :native_id, directory = :directory
WHERE key = :key AND attempt = :attempt AND state = 'WAITING';

-- name: report_job
-- The scheduler's current report.  The start time of a phase stays until the phase changes; UNKNOWN changes no phase.
UPDATE jobs SET
    state_since = CASE WHEN :state IN ('UNKNOWN', phase) THEN state_since ELSE :now END,
    phase = CASE WHEN :state = 'UNKNOWN' THEN phase ELSE :state END, state = :state,
    reason = :reason, host = coalesce(:host, host), cores = coalesce(:cores, cores),
    started = coalesce(:started, started), finished = :finished, result = :result
WHERE key = :key AND attempt = :attempt AND state <> 'CANCELLED';

-- name: try_job_again
UPDATE jobs SET attempt = attempt + 1, state = :state, phase = NULL, state_since = :now, native_id = NULL,
    directory = NULL, host = NULL, submitted = NULL, started = NULL, finished = NULL, result = NULL,
    releases = 0, avoid = :avoid
WHERE key = :key;

-- name: describe_backup
-- The description that a backup of a ledger holds.
SELECT value, recorded, (SELECT count(*) FROM superevents) AS superevents,
    (SELECT count(*) FROM public_notices) AS notices
FROM settings WHERE name = 'backup';

-- name: perhaps_announced
-- Superevents about which notices may have gone out after a backup was taken.
SELECT key FROM superevents AS s
WHERE (SELECT json_extract(value, '$.alerts.mode') FROM settings WHERE name = 'profile') <> 'off'
  AND (created > :since OR EXISTS (
      SELECT 1 FROM public_notices AS n WHERE n.superevent = s.key AND n.state NOT IN ('stored', 'refused')));

-- name: uploads_to_come
-- Open uploads of products that jobs have made.
SELECT e.id, json_extract(e.args, '$.path') AS path, j.key AS job
FROM effects AS e JOIN jobs AS j ON j.subject = json_extract(e.args, '$.target') AND j.state = 'DONE'
    AND json_extract(e.args, '$.path') LIKE j.directory || '/%'
WHERE e.state IN ('ready', 'running') AND e.kind = 'gracedb.upload';

-- name: move_timers
UPDATE timers SET due = due + :step;

-- name: move_effects
UPDATE effects SET created = created + :step, expected = expected + :step,
    not_before = CASE WHEN not_before > 0 THEN not_before + :step ELSE 0 END
WHERE state IN ('ready', 'running');

-- name: move_deliveries
UPDATE deliveries SET not_before = not_before + :step WHERE state = 'new' AND not_before > 0;

-- name: move_jobs
UPDATE jobs SET created = created + :step, submitted = submitted + :step, started = started + :step,
    state_since = state_since + :step
WHERE state NOT IN ('DONE', 'FAILED', 'CANCELLED');

-- name: move_notices
UPDATE public_notices SET planned = planned + :step WHERE state = 'planned';

-- name: move_heartbeats
UPDATE heartbeats SET last_poll = last_poll + :step, last_message = last_message + :step;

-- name: move_pilots
UPDATE pilots SET asked = asked + :step, started = started + :step, ready = ready + :step WHERE finished IS NULL;


-- name: effects_under
SELECT id, key, kind, state, coalesce(error, '') AS error FROM effects
WHERE key = :key OR (key > :low AND key < :high);

-- name: ask_about_effects
UPDATE effects
SET state = 'ready', attempts = max(attempts, 1), not_before = 0
WHERE state IN ('ready', 'running');

-- name: ask_for_effect
INSERT OR IGNORE INTO effects (key, kind, subject, args, after, priority, state, message_id, attempts, created)
VALUES (?, ?, ?, ?, ?, ?, 'ready', ?, ?, ?);

-- name: bury_delivery
UPDATE deliveries
SET state = 'dead', attempts = attempts + 1, reason = ?, traceback = ?, decided = ?
WHERE id = ?;

-- name: blame_delivery
UPDATE deliveries
SET crashes = crashes + 1, reason = ?
WHERE id = ? AND state = 'new'
RETURNING crashes;

-- name: digest_at
SELECT digest
FROM messages
WHERE source = ? AND topic = ? AND partition = ? AND epoch = ? AND offset = ?;

-- name: receive_message
INSERT INTO messages (source, topic, partition, epoch, offset, digest, payload, published, received)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING id;

-- name: count_restart
INSERT INTO heartbeats (name, pid, started, last_poll, restarts)
VALUES (?, 0, ?, ?, 1)
ON CONFLICT (name) DO UPDATE
SET restarts = restarts + 1, connected = 0;

-- name: starts_of_jobs
SELECT native_id LIKE 'standby %' AS warm, started - submitted AS delay
FROM jobs
WHERE queue = ? AND started IS NOT NULL AND submitted IS NOT NULL AND submitted > ?;

-- name: pilot_seconds
SELECT coalesce(sum(busy), 0.0) AS busy, coalesce(sum(idle), 0.0) AS idle
FROM pilots
WHERE queue = ?;

-- name: pilot_costs
-- Of pilots that ran between :since and :now (Unix s); `held` is the part in that period, `busy` and `idle` the whole.
SELECT count(*) AS pilots, coalesce(sum(min(coalesce(finished, :now), :now) - max(started, :since)), 0.0) AS held,
    coalesce(sum(busy), 0.0) AS busy, coalesce(sum(idle), 0.0) AS idle
FROM pilots
WHERE queue = :queue AND started < :now AND coalesce(finished, :now) > :since;

-- name: pilot_node_seconds
SELECT coalesce(sum(coalesce(finished, ?) - max(started, ?)), 0)
FROM pilots
WHERE queue = ? AND started IS NOT NULL AND coalesce(finished, ?) > ?;

-- name: newest_pilots_ended
SELECT ready, finished
FROM pilots
WHERE queue = ? AND finished IS NOT NULL AND state <> 'CANCELLED'
ORDER BY finished DESC LIMIT 20;

-- name: pilot_heartbeat
UPDATE pilots
SET ready = coalesce(ready, ?), idle = max(idle, ?), busy = max(busy, ?), tasks = max(tasks, ?)
WHERE key = ?;

-- name: report_pilot
UPDATE pilots
SET state = ?, reason = ?, host = coalesce(nullif(?, ''), host), cores = coalesce(?, cores), started = coalesce(started, ?), finished = ?
WHERE key = ? AND finished IS NULL;

-- name: repeat_timer
INSERT INTO timers
VALUES (?, ?, ?, '{}', ?, ?)
ON CONFLICT (key) DO UPDATE
SET lane = excluded.lane, interval = excluded.interval, due = min(due, excluded.due);

-- name: failed_jobs
SELECT key FROM jobs
WHERE subject IN (SELECT value FROM json_each(?)) AND state IN ('FAILED', 'LOST', 'CANCELLED');

-- name: decisions_after
SELECT message_id, superevent, action, detail, reason FROM decisions WHERE id > ? ORDER BY id;
