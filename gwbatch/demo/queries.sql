-- name: products_shown
SELECT s.graceid, s.preferred, p.subject, p.name, p.path, p.facts, p.created, e.data FROM superevents AS s
JOIN products AS p ON p.subject IN (s.key, s.preferred) JOIN events AS e ON e.graceid = s.preferred
ORDER BY s.id, p.created;

-- name: counts
-- How much has arrived, and how much is not done.
SELECT (SELECT count(*) FROM messages WHERE source = 'igwn-alert') AS alerts,
       (SELECT count(*) FROM events) + (SELECT count(*) FROM external_events) AS events,
       (SELECT count(*) FROM deliveries WHERE state <> 'done') AS messages,
       (SELECT count(*) FROM effects WHERE state <> 'done') AS effects,
       (SELECT count(*) FROM jobs WHERE state <> 'DONE') AS jobs;
