"use strict";
// Each page is a function from what the server says to nodes.

const nameOf = (one) => one.superevent_id || one.key;
const superevent = (one) => link(nameOf(one), "/superevent/" + encodeURIComponent(one.key));
const job = (key) => link(key, "/job/" + encodeURIComponent(key));

function overview(found) {
  if (found === null) return [section("What is wrong right now", make("p", {}, "No dispatcher ever ran here."))];
  return [
    section("What is wrong right now", make("ul", {}, ...(found.findings.length ? found.findings.map(finding) : [make("li", { class: "good" }, "nothing")]))),
    section("Alerts", make("p", {}, `${found.messages.last_hour} in the last hour `, sparkline(found.messages.per_minute, "alerts per minute"))),
    section("Newest superevents", table("Newest superevents", [
      ["superevent", superevent], ["preferred", (one) => one.preferred], ["events", (one) => one.events.join(" ")],
      ["labels", (one) => one.labels.join(" ")], ["products", (one) => one.products.join(" ")]], found.superevents)),
    ...(found.alerts.mode === "off" && !found.alerts.notices.length ? [] : [section("Public alerts", alertSwitch(found.alerts), noticeTable(found.alerts.notices))]),
    section("External events", table("External events", [
      ["external", (one) => one.graceid || one.key], ["trigger", (one) => `${one.observatory} ${one.trigger_id}`], ["search", (one) => one.search],
      ["labels", (one) => one.labels.join(" ")],
      ["coincidence", (one) => one.coincidence ? `${one.coincidence.superevent} ${one.coincidence.dt.toFixed(2)} s, ${rate(one.coincidence.far_spacetime ?? one.coincidence.far_time)}` : ""]], found.external_events)),
    section("Open jobs", make("p", {}, Object.entries(found.jobs.by_state).map(([state, count]) => `${state} ${count}`).join("  ")), table("Open jobs", [
      ["job", (one) => job(one.key)], ["queue", (one) => one.queue], ["state", (one) => one.state], ["for", (one) => seconds(one.age)],
      ["host", (one) => one.host], ["cores", (one) => one.cores], ["reason", (one) => one.reason]], found.jobs.open)),
    section("Listeners", table("Listeners", [
      ["listener", (one) => one.name], ["connected", (one) => one.connected ? "yes" : "no"], ["lag", (one) => one.lag],
      ["last message", (one) => seconds(one.last_message_age)], ["restarts", (one) => one.restarts]], found.listeners)),
    section("Lanes", table("Lanes", [
      ["lane", ([name]) => name], ["waiting", ([, one]) => one.depth], ["oldest", ([, one]) => seconds(one.oldest_age)],
      ["retrying", ([, one]) => one.retrying]], Object.entries(found.lanes))),
    section("Where time goes", table("Latencies", [
      ["stage", ([stage]) => stage], ["count", ([, one]) => one.count], ["median", ([, one]) => seconds(one.p50)],
      ["95th percentile", ([, one]) => seconds(one.p95)], ["newest", ([stage, one]) => sparkline(one.recent, stage)]], Object.entries(found.latencies))),
  ];
}

function finding(one) {
  const level = one.level === "OK" ? null : make("span", { class: one.level === "WARNING" ? "warn" : "bad" }, one.level + " ");
  return make("li", {}, level, one.text, one.remedy ? make("div", { class: "none" }, one.remedy) : null);
}

function superevents(found, state) {
  const words = (state.filter || "").toLowerCase();
  const shown = found.filter((one) => [nameOf(one), one.preferred, one.category, ...one.labels].join(" ").toLowerCase().includes(words));
  const input = make("input", { id: "filter", type: "search", value: state.filter || "" });
  input.addEventListener("input", () => { state.filter = input.value; state.redraw(); });
  return [section("Superevents", make("p", {}, make("label", { for: "filter" }, "Filter "), input), table("Superevents", [
    ["superevent", superevent, nameOf], ["t_0 (GPS)", (one) => one.t_0.toFixed(2), (one) => one.t_0], ["category", (one) => one.category],
    ["preferred", (one) => one.preferred], ["events", (one) => one.members], ["FAR", (one) => rate(one.far), (one) => one.far],
    ["external", (one) => one.externals], ["labels", (one) => one.labels.join(" ")], ["made", (one) => moment(one.created), (one) => one.created]], shown, state))];
}

function onePicture(key, name) {
  const address = "/picture.png?" + new URLSearchParams({ subject: key, name });
  return make("figure", {}, make("a", { href: address }, make("img", { src: address, alt: name, loading: "lazy" })), make("figcaption", {}, name));
}

function oneSuperevent(found) {
  const name = nameOf(found);
  const pictures = found.products.filter((product) => product.here && product.name.endsWith(".png"));
  const order = found.members.length ? Object.keys(found.members[0].preference || {}) : [];
  return [
    section(name, make("p", {}, `${found.category}, t_0 = ${found.t_0} s (GPS), preferred event ${found.preferred}`),
      make("p", {}, "labels: " + (found.labels.join(" ") || "none")), found.gracedb ? make("p", {}, outside("in GraceDB", found.gracedb)) : null),
    section("Pictures", make("div", { class: "pictures" }, ...pictures.map((product) => onePicture(found.key, product.name))), pictures.length ? null : make("p", { class: "none" }, "none yet")),
    section("Members, and why the preferred one is preferred", make("p", {}, `The largest of (${order.join(", ")}) is preferred.`), table("Members", [
      ["event", (one) => outside(one.graceid + (one.graceid === found.preferred ? " ★ preferred" : ""), one.gracedb)], ["pipeline", (one) => one.pipeline], ["search", (one) => one.search],
      ["FAR", (one) => rate(one.far)], ["SNR", (one) => one.snr], ["detectors", (one) => (one.instruments || []).join(" ")],
      ...order.map((aspect) => [aspect, (one) => String((one.preference || {})[aspect])]), ["labels", (one) => (one.labels || []).join(" ")]], found.members)),
    section("Coincidences", table("Coincidences", [
      ["external", (one) => one.graceid || one.external], ["trigger", (one) => `${one.observatory} ${one.trigger_id}`], ["search", (one) => one.search],
      ["dt", (one) => one.dt.toFixed(2) + " s"], ["joint FAR, times", (one) => rate(one.far_time)], ["overlap", (one) => one.overlap],
      ["joint FAR, sky too", (one) => rate(one.far_spacetime)], ["standing", (one) => [one.chosen ? "chosen" : "", one.announced ? "announced" : "", one.grb ? "" : "NOT_GRB", (one.reasons || []).join("; ")].join(" ")]], found.coincidences)),
    found.notices.length ? section("Public alerts", noticeTable(found.notices), ...found.notices.map((one) => bars(one.parts, `Where the time of ${one.name} went`))) : null,
    section("Timeline", table("Timeline", [
      ["time (UTC)", (one) => moment(one.at)], ["what", (one) => one.what], ["why, or which", (one) => one.text],
      ["details", (one) => one.detail ? make("code", {}, JSON.stringify(one.detail)) : ""]], found.timeline)),
    section("Jobs", jobTable(found.jobs)),
    section("Effects", table("Effects", [
      ["effect", (one) => one.key], ["kind", (one) => one.kind], ["state", (one) => one.state], ["tries", (one) => one.attempts],
      ["error", (one) => one.error], ["done", (one) => moment(one.finished)]], found.effects)),
    section("To do something",
      mayOrder ? make("p", {}, link("Preview a notice, send an update, copy a map", "/orders/" + encodeURIComponent(found.key))) : null,
      giveOrder("Send a preliminary notice", `Send a preliminary notice about ${name}? Thresholds and blocking labels still count.`, { order: "send-preliminary", superevent: found.key }),
      giveOrder("Try the annotation again", `Try again what failed for ${name}?`, { order: "annotate", superevent: found.key }),
      ...found.members.filter((one) => one.graceid !== found.preferred).map((one) => giveOrder(`Prefer ${one.graceid}`, `Make ${one.graceid} the preferred event of ${name}?`, { order: "prefer", superevent: found.key, event: one.graceid })),
      ...found.coincidences.filter((one) => one.chosen && !one.announced).map((one) => giveOrder(`Announce with ${one.graceid || one.external}`, `Set RAVEN_ALERT on ${name}, on ${one.graceid || one.external} and on the preferred event?`, { order: "announce", superevent: found.key, external: one.external })),
      ...found.commands.map(copyable)),
  ];
}

const PRODUCTS = [["bayestar.multiorder.fits", "Sky map"], ["em_bright.json", "Source properties"], ["p_astro.json", "Source classification"], ["mchirp_source.json", "Chirp mass"]];

function previewed(found) {
  const lacks = Object.entries({ ...found.missing, ...found.unusable });
  return [
    make("p", { class: found.refused ? "bad" : "good" }, found.refused ? `It would NOT go out: ${found.refused}.` : "It would go out."),
    ...lacks.map(([name, why]) => make("p", { class: "bad" }, `without ${name}: ${why}`)),
    table("Who would get it", [
      ["broker", ([name]) => name], ["topic", ([, one]) => one.topic], ["bytes", ([, one]) => one.bytes], ["without", ([, one]) => one.left_out], ["withheld", ([, one]) => one.obstacle]], Object.entries(found.brokers)),
    make("pre", { tabindex: "0" }, JSON.stringify(found.record, null, 1)),
  ];
}

function noticeForm(found) {
  const kind = make("select", { id: "kind" }, ...["ordered-preliminary", "update"].map((name) => make("option", { value: name }, name)));
  const files = PRODUCTS.map(([product, label]) => [product, field("file-" + product, `${label} (NAME,VERSION; empty: the newest)`)]);
  const chosen = () => Object.fromEntries(files.map(([product, [, input]]) => [product, input.value.trim()]).filter(([, file]) => file));
  const shown = make("div", { "aria-live": "polite" });
  const look = make("button", { type: "button" }, "Preview");
  look.addEventListener("click", async () => {
    const answer = await fetch("/preview.json?" + new URLSearchParams({ superevent: found.key, kind: kind.value, files: JSON.stringify(chosen()) }));
    const said = await answer.json().catch(() => ({ error: "The console does not answer." }));
    shown.replaceChildren(...(answer.ok ? previewed(said) : [make("p", { class: "bad" }, said.error)]));
  });
  const send = giveOrder("Send", `Send this notice about ${nameOf(found)}?`, () => (kind.value === "update"
    ? { order: "send-update", superevent: found.key, files: chosen() } : { order: "send-preliminary", superevent: found.key }));
  return section("A notice", make("p", {}, make("label", { for: "kind" }, "Kind "), kind), make("p", {}, "A preliminary notice takes the preferred event's own files."), ...files.map(([, [line]]) => line), make("p", {}, look), send, shown);
}

function orders(found) {
  const name = nameOf(found);
  if (!mayOrder) return [section("Orders about " + name, make("p", { class: "none" }, "This console takes no orders: it asks nobody for a token."))];
  const [sourceLine, source] = field("source", "Event or superevent", found.preferred), [fileLine, file] = field("file", "File (NAME,VERSION)");
  return [
    section("Orders about " + name, make("p", {}, superevent(found))),
    noticeForm(found),
    section("A sky map of another event", sourceLine, fileLine, giveOrder("Copy it", `Copy this map to ${name}?`, () => ({ order: "copy-map", source: source.value.trim(), file: file.value.trim(), target: found.superevent_id }))),
    ...found.coincidences.map((one) => {
      const [line, input] = field("url-" + one.external, "Address (https://)"), whom = one.graceid || one.external;
      return section(`A sky map for ${whom}`, line, giveOrder("Use it", `Use this map for ${whom}?`, () => ({ order: "use-map", external: one.external, url: input.value.trim() })));
    }),
    section("The event that a pipeline shows", ...found.members.map((one) => giveOrder(`${one.graceid} for ${one.pipeline}`, `Let ${one.pipeline} show ${one.graceid}? No notice follows.`, { order: "prefer-for-pipeline", superevent: found.key, event: one.graceid }))),
  ];
}

const stoppedText = (alerts) => `ALERTS ARE STOPPED by ${alerts.stopped.by} since ${moment(alerts.stopped.at)} UTC${alerts.stopped.why ? ": " + alerts.stopped.why : ""}`;

function alertSwitch(found) {
  if (found.stopped) return make("p", { class: "bad" }, stoppedText(found));
  const brokers = Object.entries(found.brokers).map(([name, one]) => `${name} (${one.bootstrap}/${one.topic}, ${one.categories.join(" and ")})`);
  const now = make("p", {}, found.mode === "off" ? "Alerts are off." : `Mode ${found.mode}${found.dry_run ? ", a dry run: nothing is sent" : ""}; brokers: ${brokers.join(", ") || "none"}.`);
  return make("div", {}, now, found.mode === "off" ? null : giveOrder("Stop all alerts", "Let no notice leave from now on?", { order: "stop-alerts" }));
}

const arrival = (one, send) => (send.delivered ? `${send.broker} +${seconds(send.delivered - one.frozen)}` : `${send.broker} ${send.state}`);

function noticeTable(rows, state) {
  return table("Public alerts", [
    ["notice", (one) => link(`${one.superevent_id || one.superevent}/${one.name}`, "/alert/" + one.id), (one) => one.id],
    ["state", (one) => one.state], ["planned (UTC)", (one) => moment(one.planned), (one) => one.planned],
    ["frozen after", (one) => (one.frozen ? seconds(one.frozen - one.planned) : ""), (one) => one.frozen - one.planned],
    ["brokers", (one) => one.brokers.map((send) => arrival(one, send)).join(", ")], ["ordered by", (one) => one.by], ["reason", (one) => one.reason]], rows, state);
}

const alerts = (found, state) => [section("Public alerts", alertSwitch(found), noticeTable(found.notices, state))];

function oneAlert(found) {
  const lacks = Object.entries({ ...(found.decision || {}).missing, ...(found.decision || {}).unusable });
  return [
    section(`${found.superevent_id || found.superevent}/${found.name}`, make("p", {}, found.state + (found.reason ? ": " + found.reason : "")),
      make("p", {}, superevent({ superevent_id: found.superevent_id, key: found.superevent })), found.uid ? make("p", {}, "_id ", make("code", {}, found.uid)) : null,
      ...lacks.map(([name, why]) => make("p", { class: "bad" }, `without ${name}: ${why}`))),
    section("Where it is", table("Brokers", [
      ["broker", (one) => one.broker], ["topic", (one) => one.topic], ["state", (one) => one.state], ["partition", (one) => one.partition], ["offset", (one) => one.offset],
      ["tries", (one) => one.tries], ["delivered (UTC)", (one) => moment(one.delivered)], ["without", (one) => one.left_out], ["reason", (one) => one.reason]], found.brokers)),
    section("Where its time went", bars(found.parts, `Where the time of ${found.name} went`), table("Parts", [
      ["part", (one) => one.name], ["began (UTC)", (one) => moment(one.begin)], ["took", (one) => seconds(one.end - one.begin)]], found.parts)),
    section("What it says", make("pre", { tabindex: "0" }, JSON.stringify(found.record, null, 1))),
    section("To do something", found.brokers.some((one) => one.state === "withheld") ? giveOrder("Release it", `Send ${found.name} after all?`, { order: "release-notice", notice: found.id }) : null, ...found.commands.map(copyable)),
  ];
}

function jobTable(rows, state) {
  return table("Jobs", [
    ["job", (one) => job(one.key), (one) => one.key], ["queue", (one) => one.queue], ["state", (one) => one.state], ["host", (one) => one.host], ["cores", (one) => one.cores],
    ["waited", (one) => one.started && one.submitted ? seconds(one.started - one.submitted) : "", (one) => one.started - one.submitted],
    ["ran", (one) => one.finished && one.started ? seconds(one.finished - one.started) : "", (one) => one.finished - one.started],
    ["try", (one) => one.attempt], ["reason", (one) => one.reason]], rows, state);
}

const jobs = (found, state) => [section("Jobs", jobTable(found, state))];

function oneJob(found) {
  const facts = ["kind", "queue", "state", "attempt", "host", "cores", "scheduler", "native_id", "reason", "directory"];
  return [
    section("Job " + found.key, table("Job", [["fact", ([name]) => name], ["value", ([, value]) => value]], [
      ...facts.map((name) => [name, found[name]]), ["submitted", moment(found.submitted)], ["started", moment(found.started)], ["finished", moment(found.finished)]])),
    section("Request", make("pre", { tabindex: "0" }, JSON.stringify(found.request, null, 1))),
    section("Result", make("pre", { tabindex: "0" }, JSON.stringify(found.result, null, 1))),
    section("stdout (its end)", make("pre", { tabindex: "0" }, found.stdout ?? "none on this machine")),
    section("stderr (its end)", make("pre", { tabindex: "0" }, found.stderr ?? "none on this machine")),
    section("To do something", ...found.commands.map(copyable)),
  ];
}

function messages(found, state) {
  return [
    section("Dead letters", table("Dead letters", [
      ["letter", (one) => link(one.id, "/deadletter/" + one.id), (one) => one.id], ["what", (one) => one.what], ["reason", (one) => one.reason], ["when", (one) => moment(one.at), (one) => one.at],
      ["to try again", (one) => make("code", {}, one.command), false]], found.dead)),
    section("Newest messages", table("Newest messages", [
      ["number", (one) => one.id], ["topic", (one) => one.topic], ["from", (one) => one.source], ["received", (one) => moment(one.received), (one) => one.received], ["bytes", (one) => one.size],
      ["lanes", (one) => one.deliveries.map((delivery) => `${delivery.lane} ${delivery.state}`).join(", ")],
      ["decided", (one) => one.decisions.map((decision) => `${decision.action} ${decision.superevent || ""}`).join(", ")]], found.messages, state)),
  ];
}

function deadLetter(found) {
  return [section("Dead letter", table("Dead letter", [["fact", ([name]) => name], ["value", ([name, value]) => ["payload", "traceback", "args"].includes(name) ? make("pre", {}, value ?? "") : value]], Object.entries(found)))];
}
