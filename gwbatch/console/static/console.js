"use strict";
const at = (id) => document.getElementById(id);
const seconds = (value) => value === null || value === undefined ? "" : value < 10 ? value.toFixed(2) + " s" : Math.round(value) + " s";

function cell(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text === null || text === undefined ? "" : String(text);
  return made;
}

function fill(id, columns, rows) {
  const head = document.createElement("tr");
  for (const column of columns) { const made = cell("th", column); made.scope = "col"; head.append(made); }
  const lines = rows.map((row) => { const line = document.createElement("tr"); line.append(...row.map((text) => cell("td", text))); return line; });
  at(id).replaceChildren(head, ...lines);
}

function show(found) {
  const headline = at("headline");
  if (found === null) { headline.textContent = "No dispatcher ever ran here."; headline.className = "bad"; return; }
  const who = found.dispatcher;
  headline.textContent = who.running ? `dispatcher runs on ${who.host} (pid ${who.pid})` : "No dispatcher is running.";
  headline.className = who.running ? "good" : "bad";
  const lines = found.wrong;
  at("wrong").replaceChildren(...(lines.length ? lines : ["nothing"]).map((text) => cell("li", text)));
  fill("superevents", ["superevent", "preferred", "events", "labels", "products"], found.superevents.map((one) =>
    [one.superevent_id || one.key, one.preferred, one.events.join(" "), one.labels.join(" "), one.products.join(" ")]));
  at("job-counts").textContent = Object.entries(found.jobs.by_state).map(([state, count]) => `${state} ${count}`).join("  ");
  fill("jobs", ["job", "queue", "state", "for", "host", "cores", "reason"], found.jobs.open.map((one) =>
    [one.key, one.queue, one.state, seconds(one.age), one.host, one.cores, one.reason]));
  fill("listeners", ["listener", "connected", "lag", "last message", "restarts"], found.listeners.map((one) =>
    [one.name, one.connected ? "yes" : "no", one.lag, seconds(one.last_message_age), one.restarts]));
  fill("lanes", ["lane", "depth", "oldest", "retrying"], Object.entries(found.lanes).map(([name, one]) =>
    [name, one.depth, seconds(one.oldest_age), one.retrying]));
  fill("latencies", ["stage", "count", "p50", "p95"], Object.entries(found.latencies).map(([stage, one]) =>
    [stage, one.count, seconds(one.p50), seconds(one.p95)]));
}

const stream = new EventSource("/events");
stream.onmessage = (message) => show(JSON.parse(message.data));
stream.onerror = () => { at("headline").textContent = "The console does not answer; trying again."; at("headline").className = "bad"; };
