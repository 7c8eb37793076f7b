-- name: dispatcher_starts
SELECT max(token) FROM leases WHERE name = 'dispatcher';

-- name: newest_message
SELECT max(id) FROM messages;

-- name: newest_effect
SELECT max(id) FROM effects;

-- name: newest_superevent
SELECT max(id) FROM superevents;

-- name: node_seconds
SELECT use, seconds FROM node_seconds ORDER BY use;

-- name: notices_by_state
SELECT state, count(*) AS n FROM public_notices GROUP BY state;

-- name: oldest_open_notice
SELECT min(planned) FROM public_notices WHERE state IN ('planned', 'frozen');

-- name: external_events
SELECT count(*) FROM external_events;

-- name: coincidences
SELECT count(*) FROM coincidences WHERE chosen;

-- name: latency_bounds
SELECT upper FROM latency_bounds ORDER BY upper;

-- name: stage_latencies
SELECT stage, upper, count, seconds FROM stage_latencies ORDER BY stage, upper;

-- name: undelivered_notices
-- How many notices each broker still lacks.
SELECT broker, sum(state IN ('waiting', 'sending')) AS n FROM public_sends GROUP BY broker;

