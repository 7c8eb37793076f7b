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

-- name: put_external
INSERT INTO external_events (key, observatory, trigger_id, search, time, far, test, best_notice, map_notice, reasons,
    created, updated)
VALUES (:key, :observatory, :trigger_id, :search, :time, :far, :test, :best_notice, :map_notice, :reasons, :now,
    :now)
ON CONFLICT (key) DO UPDATE SET
    search = excluded.search, time = excluded.time, far = excluded.far, test = excluded.test,
    best_notice = excluded.best_notice, map_notice = excluded.map_notice, reasons = excluded.reasons, updated = excluded.updated;

-- name: plan_notice
INSERT OR IGNORE INTO public_notices (superevent, kind, ordinal, occasion, state, orders, category, planned)
SELECT :superevent, :kind, 1 + count(*), :occasion, 'planned', :orders, :category, :now
FROM public_notices WHERE superevent = :superevent AND kind = :kind
RETURNING id;

-- name: plan_notice_again
-- Plan a refused notice again, because the obstacle is gone.
UPDATE public_notices SET state = 'planned', reason = NULL, planned = :now
WHERE superevent = :superevent AND kind = :kind AND occasion = :occasion AND state = 'refused'
RETURNING id;

-- name: remember_notice
-- A notice that somebody else has sent. A notice planned here for the same occasion is then no longer sent.
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
-- Only the first broker's delivery counts.
UPDATE public_notices SET delivered = :now, state = 'delivered' WHERE id = :id AND delivered IS NULL;

-- name: withhold_notice
-- A notice that no broker has, and that none will get unless an operator releases it.
UPDATE public_notices SET state = 'withheld', reason = :reason
WHERE id = :id AND delivered IS NULL
  AND NOT EXISTS (SELECT 1 FROM public_sends WHERE notice = :id AND state IN ('waiting', 'sending'));

-- name: forget_bodies
UPDATE public_bodies SET body = NULL WHERE body IS NOT NULL AND notice IN (
    SELECT id FROM public_notices AS n WHERE n.frozen < :before
      AND (n.state IN ('stored', 'dry-run') OR (n.state = 'withheld' AND n.frozen < :long_before))
      AND NOT EXISTS (SELECT 1 FROM public_sends WHERE notice = n.id AND state IN ('waiting', 'sending')));

-- name: product_of_file
-- The product that a file in a job's directory holds, or held before the job was tried again.
SELECT * FROM products
WHERE path = :path OR (name = :name AND subject = (
    SELECT subject FROM jobs WHERE :path LIKE '%/' || key || '/%/' || :name ORDER BY length(key) DESC LIMIT 1));


-- name: superevents_since
SELECT key, graceid FROM superevents WHERE created >= ? ORDER BY id DESC;

-- name: externals_since
SELECT key, graceid FROM external_events WHERE created >= ? AND graceid IS NOT NULL ORDER BY created DESC;

-- name: refuse_merged_notices
UPDATE public_notices
SET state = 'refused', reason = 'asked for twice'
WHERE superevent = ? AND state = 'planned';

-- name: release_sends
UPDATE public_sends
SET state = 'waiting', reason = NULL, round = round + 1
WHERE notice = ? AND state = 'withheld';

-- name: delivered_send
UPDATE public_sends
SET state = 'delivered', reason = NULL, partition = ?, offset = ?, delivered = ?
WHERE notice = ? AND broker = ?;

-- name: begin_send
UPDATE public_sends
SET state = 'sending', tries = tries + 1, partition = coalesce(partition, ?), mark = coalesce(mark, ?), reason = NULL
WHERE notice = ? AND broker = ?;
