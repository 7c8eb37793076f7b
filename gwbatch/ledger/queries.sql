-- name: next_deliveries
-- The oldest deliveries of a lane that are due, and how large they are.
SELECT d.id, length(m.payload) AS size
FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
WHERE d.lane = :lane AND d.state = 'new' AND d.not_before <= :now
ORDER BY d.id LIMIT :limit;

-- name: load_delivery
SELECT d.id, d.message_id, d.attempts, d.crashes, m.source, m.topic, m.digest, m.payload, m.received
FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.id = ?;

-- name: claim_effect
-- The best effect that may run now: due, first of its subject, and what it waits for is done.
UPDATE effects SET state = 'running', attempts = attempts + 1, started = :now, owner = :owner
WHERE id = (
    SELECT e.id FROM effects AS e
    WHERE e.state = 'ready' AND e.not_before <= :now
      AND NOT EXISTS (
          SELECT 1 FROM effects AS p
          WHERE p.subject = e.subject AND p.id < e.id AND p.state IN ('ready', 'running'))
      AND (e.after IS NULL OR EXISTS (SELECT 1 FROM effects AS d WHERE d.key = e.after AND d.state = 'done'))
    ORDER BY e.priority DESC, e.id LIMIT 1)
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

-- name: put_superevent
INSERT INTO superevents (key, graceid, category, t_start, t_0, t_end, preferred, labels, created, updated)
VALUES (:key, :graceid, :category, :t_start, :t_0, :t_end, :preferred, :labels, :now, :now)
ON CONFLICT (key) DO UPDATE SET
    graceid = coalesce(excluded.graceid, graceid), t_start = excluded.t_start, t_0 = excluded.t_0,
    t_end = excluded.t_end, preferred = excluded.preferred, labels = excluded.labels, updated = excluded.updated;

-- name: put_event
INSERT INTO events (graceid, data, updated) VALUES (:graceid, :data, :now)
ON CONFLICT (graceid) DO UPDATE SET data = excluded.data, updated = excluded.updated;

-- name: join_superevent
UPDATE events SET superevent = :superevent, position = (
    SELECT coalesce(max(position), 0) + 1 FROM events WHERE superevent = :superevent)
WHERE graceid = :graceid AND superevent IS NOT :superevent;

-- name: superevents_near
SELECT * FROM superevents
WHERE category = :category AND t_0 BETWEEN :low AND :high ORDER BY id;

-- name: put_product
INSERT INTO products (subject, name, version, path, facts, created)
VALUES (:subject, :name, :version, :path, :facts, :now)
ON CONFLICT (subject, name) DO UPDATE SET
    version = excluded.version, path = excluded.path, facts = excluded.facts, created = excluded.created;

-- name: prune_messages
-- Old messages that every lane has settled; dead letters stay until somebody looks.
DELETE FROM messages WHERE id IN (
    SELECT id FROM messages WHERE received < :before AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE message_id = messages.id AND state <> 'done')
    ORDER BY received LIMIT :limit);

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
-- The first condition is the index's own: without it, every job is looked at.
SELECT key, kind, queue, state, attempt, host, cores, reason, state_since FROM jobs
WHERE state NOT IN ('DONE', 'FAILED', 'CANCELLED') AND state <> 'LOST'
ORDER BY state = 'RUNNING' DESC, priority DESC, created LIMIT 50;

-- name: report_dead_count
SELECT (SELECT count(*) FROM deliveries WHERE state = 'dead')
     + (SELECT count(*) FROM effects WHERE state = 'dead') AS n;

-- name: report_dead
-- Messages (m17) and effects (e5) that were given up, newest first.
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

-- name: put_job
INSERT OR IGNORE INTO jobs (key, kind, queue, subject, request, priority, state, created, state_since)
VALUES (:key, :kind, :queue, :subject, :request, :priority, :state, :now, :now);

-- name: submitted_job
UPDATE jobs SET state = :state, phase = :state, state_since = :now, submitted = :now, reason = NULL,
    scheduler = :scheduler, native_id = :native_id, directory = :directory
WHERE key = :key AND attempt = :attempt AND state = 'WAITING';

-- name: report_job
-- What the scheduler says now.  The time of entering a phase stays while the phase does, silence or not.
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

-- name: report_externals
SELECT x.*, c.superevent, c.dt, c.far_time, c.overlap, c.far_spacetime, c.announced, s.graceid AS superevent_id
FROM external_events AS x
LEFT JOIN coincidences AS c ON c.external = x.key AND c.chosen
LEFT JOIN superevents AS s ON s.key = c.superevent
ORDER BY x.created DESC, x.key LIMIT :limit;

-- name: put_external
INSERT INTO external_events (key, observatory, trigger_id, search, time, far, test, chosen, located, reasons, created,
    updated)
VALUES (:key, :observatory, :trigger_id, :search, :time, :far, :test, :chosen, :located, :reasons, :now, :now)
ON CONFLICT (key) DO UPDATE SET
    search = excluded.search, time = excluded.time, far = excluded.far, test = excluded.test,
    chosen = excluded.chosen, located = excluded.located, reasons = excluded.reasons, updated = excluded.updated;

-- name: dead_message
SELECT d.*, m.topic, m.payload FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.id = ?;

-- name: plan_notice
INSERT OR IGNORE INTO public_notices (superevent, kind, ordinal, occasion, state, orders, category, planned)
SELECT :superevent, :kind, 1 + count(*), :occasion, 'planned', :orders, :category, :now
FROM public_notices WHERE superevent = :superevent AND kind = :kind
RETURNING id;

-- name: plan_notice_again
-- A notice that was refused: what stood against it has gone.
UPDATE public_notices SET state = 'planned', reason = NULL, planned = :now
WHERE superevent = :superevent AND kind = :kind AND occasion = :occasion AND state = 'refused'
RETURNING id;

-- name: remember_notice
-- A notice that somebody else has sent; one of the same occasion that is planned here need not be sent any more.
INSERT INTO public_notices (superevent, kind, ordinal, occasion, state, reason, category, planned, delivered, stored,
    time_created)
SELECT :superevent, :kind, 1 + count(*), :occasion, 'stored', 'found in GraceDB as notice ' || :number, :category,
    :sent, :sent, :sent, :time_created
FROM public_notices WHERE superevent = :superevent AND kind = :kind
ON CONFLICT (superevent, kind, occasion) DO UPDATE SET state = 'stored', reason = excluded.reason,
    delivered = :sent, stored = :sent, time_created = :time_created
WHERE state IN ('planned', 'refused')
RETURNING id;

-- name: freeze_notice
UPDATE public_notices SET state = :state, reason = NULL, frozen = :now, uid = :uid, time_created = :time_created,
    record = :record, decision = :decision
WHERE id = :id AND state = 'planned';

-- name: put_body
INSERT OR REPLACE INTO public_bodies (notice, form, variant, body, size, sha256)
VALUES (:notice, :form, :variant, :body, :size, :sha256);

-- name: put_send
INSERT INTO public_sends (notice, broker, topic, form, variant, left_out, state, reason)
VALUES (:notice, :broker, :topic, :form, :variant, :left_out, :state, :reason);

-- name: deliver_notice
-- The first broker that has it counts; the others follow.
UPDATE public_notices SET delivered = :now, state = 'delivered' WHERE id = :id AND delivered IS NULL;

-- name: withhold_notice
-- A notice that no broker has got and none will get unless somebody has it sent.
UPDATE public_notices SET state = 'withheld', reason = :reason
WHERE id = :id AND delivered IS NULL
  AND NOT EXISTS (SELECT 1 FROM public_sends WHERE notice = :id AND state IN ('waiting', 'sending'));

-- name: forget_bodies
UPDATE public_bodies SET body = NULL WHERE body IS NOT NULL AND notice IN (
    SELECT id FROM public_notices AS n WHERE n.frozen < :before
      AND (n.state IN ('stored', 'dry-run') OR (n.state = 'withheld' AND n.frozen < :long_before))
      AND NOT EXISTS (SELECT 1 FROM public_sends WHERE notice = n.id AND state IN ('waiting', 'sending')));

-- name: list_notices
SELECT n.*, s.graceid AS superevent_id, s.t_0 FROM public_notices AS n LEFT JOIN superevents AS s ON s.key = n.superevent
ORDER BY n.id DESC LIMIT :limit;

-- name: unfinished_notices
-- Notices that are on their way, with their brokers.
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

-- name: undelivered_notices
-- How many notices each broker still lacks.
SELECT broker, sum(state IN ('waiting', 'sending')) AS n FROM public_sends GROUP BY broker;

-- name: describe_backup
-- What a copy of a ledger says of itself.
SELECT value, recorded, (SELECT count(*) FROM superevents) AS superevents,
    (SELECT count(*) FROM public_notices) AS notices
FROM settings WHERE name = 'backup';

-- name: perhaps_announced
-- Superevents about which notices may have gone out after a copy of the ledger was taken.
SELECT key FROM superevents AS s
WHERE (SELECT json_extract(value, '$.alerts.mode') FROM settings WHERE name = 'profile') <> 'off'
  AND (created > :since OR EXISTS (
      SELECT 1 FROM public_notices AS n WHERE n.superevent = s.key AND n.state NOT IN ('stored', 'refused')));

-- name: milestones
-- When each superevent reached what (Unix s), newest first: its first alert, its map, its first notice.
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

-- name: uploads_to_come
-- Uploads of what jobs have made that are still to be done.
SELECT e.id, json_extract(e.args, '$.path') AS path, j.key AS job
FROM effects AS e JOIN jobs AS j ON j.subject = json_extract(e.args, '$.target') AND j.state = 'DONE'
    AND json_extract(e.args, '$.path') LIKE j.directory || '/%'
WHERE e.state IN ('ready', 'running') AND e.kind = 'gracedb.upload';

-- name: product_of_file
-- The product that a file in a job's directory is, or was before its job was tried again.
SELECT subject, name, path, facts FROM products
WHERE path = :path OR (name = :name AND subject = (
    SELECT subject FROM jobs WHERE :path LIKE '%/' || key || '/%/' || :name ORDER BY length(key) DESC LIMIT 1));

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
-- Like report_dead, from a time on backwards.
SELECT * FROM (
    SELECT 'm' || d.id AS id, d.lane || ': ' || m.topic AS what, d.reason AS reason, coalesce(d.decided, 0.0) AS at
    FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.state = 'dead'
    UNION ALL
    SELECT 'e' || id, key, error, coalesce(finished, 0.0) FROM effects WHERE state = 'dead'
) WHERE (at, id) < (:at, :id) AND (:words = '' OR instr(lower(what || ' ' || coalesce(reason, '')), lower(:words)))
ORDER BY at DESC, id DESC LIMIT :limit;
