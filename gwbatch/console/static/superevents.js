// The list of superevents, and the page of one.
import { chip, labels, shares, state } from "./chips.js";
import { copyable, folded, keep, link, make, outside, raw, section } from "./dom.js";
import { nameOf, picture, superevent } from "./names.js";
import { noticeTable } from "./notices.js";
import { jobTable } from "./jobs.js";
import { giveOrder, mayOrder } from "./orders.js";
import { far, moment, snr } from "./people.js";
import { parts, story } from "./story.js";
import { list, table } from "./tables.js";

const CATEGORIES = ["production", "mdc", "test"];
const LABELS = ["ADVNO", "ADVOK", "DQV", "EM_COINC", "GCN_PRELIM_SENT", "HIGH_PROFILE", "INJ", "LOW_SIGNIF_PRELIM_SENT", "RAVEN_ALERT", "SKYMAP_READY"];

export function superevents(found, state, asked) {
  return [list("Superevents", "superevents", found, asked, { category: ["Category", CATEGORIES], label: ["Label", LABELS] }, table("Superevents", [
    ["superevent", superevent, nameOf], ["t_0 (GPS)", (one) => one.t_0.toFixed(2), (one) => one.t_0], ["category", (one) => one.category],
    ["preferred", (one) => one.preferred], ["events", (one) => one.members], ["FAR", (one) => far(one.far), (one) => one.far],
    ["external", (one) => one.externals], ["labels", (one) => labels(one.labels), (one) => one.labels.length], ["created (UTC)", (one) => moment(one.created), (one) => one.created]], found.rows, state))];
}

function onePicture(key, product) {
  const address = picture(key, product.name);
  const image = keep(`${address} ${product.version}`, () => make("img", { src: address, alt: product.name, loading: "lazy" }));
  return make("figure", {}, make("a", { href: address }, image), make("figcaption", {}, product.name));
}

function header(found) {
  const one = found.summary, about = [one.pipeline, one.search].filter(Boolean).join(" ");
  return section(nameOf(found),
    make("p", { class: "numbers" }, make("strong", {}, far(one.far) || "no FAR"), one.snr ? `, SNR ${snr(one.snr)}` : "", one.instruments.length ? `, ${one.instruments.join(" ")}` : "", one.area_90 ? `, 90 % in ${Math.round(one.area_90)} deg²` : ""),
    make("p", {}, moment(one.utc, found.t_0), " UTC, ", `${found.category}, preferred event `, make("strong", {}, found.preferred), about ? ` (${about})` : "", ", ", `${one.members} ${one.members === 1 ? "event" : "events"}`),
    shares(one.classification, "Class"), one.properties ? make("p", { class: "detail" }, Object.entries(one.properties).map(([name, value]) => `${name} ${Math.round(100 * value)} %`).join(", ")) : null,
    labels(found.labels), found.gracedb ? make("p", {}, outside("in GraceDB", found.gracedb)) : null);
}

function members(found) {
  const order = found.members.length ? Object.keys(found.members[0].preference || {}) : [];
  const columns = [
    ["event", (one) => outside(one.graceid, one.gracedb)], ["why", (one) => (one.graceid === found.preferred ? chip("preferred", "good") : one.why)], ["pipeline", (one) => one.pipeline], ["search", (one) => one.search],
    ["FAR", (one) => far(one.far)], ["SNR", (one) => snr(one.snr)], ["detectors", (one) => (one.instruments || []).join(" ")], ["labels", (one) => labels(one.labels || [])]];
  return section("Members, and why one is preferred", table("Members", columns, found.members),
    folded("Order of preference", () => [make("p", {}, `The event with the largest (${order.join(", ")}) is preferred, unless somebody chooses one manually.`), table("Preference", [["event", (one) => one.graceid], ...order.map((aspect) => [aspect, (one) => String((one.preference || {})[aspect])])], found.members)]));
}

function coincidences(found) {
  return section("Coincidences", table("Coincidences", [
    ["external", (one) => one.graceid || one.external], ["trigger", (one) => `${one.observatory} ${one.trigger_id}`], ["search", (one) => one.search],
    ["dt", (one) => one.dt.toFixed(2) + " s"], ["joint FAR, times", (one) => far(one.far_time)], ["overlap", (one) => (one.overlap === null ? "" : one.overlap.toPrecision(3))],
    ["joint FAR, sky too", (one) => far(one.far_spacetime)], ["standing", (one) => [one.chosen ? "chosen" : "", one.announced ? "announced" : "", one.grb ? "" : "NOT_GRB", (one.reasons || []).join("; ")].filter(Boolean).join(" ")]], found.coincidences));
}

function history(found) {
  return [
    folded("Every step", () => table("Steps", [
      ["time (UTC)", (one) => moment(one.at)], ["what", (one) => one.what], ["reason or object", (one) => one.text],
      ["details", (one) => (one.detail ? make("code", {}, JSON.stringify(one.detail)) : "")]], found.timeline)),
    folded(`${found.effects.length} effects`, () => table("Effects", [
      ["effect", (one) => one.key], ["kind", (one) => one.kind], ["state", (one) => state(one.state)], ["tries", (one) => one.attempts], ["error", (one) => one.error], ["done (UTC)", (one) => moment(one.finished)]], found.effects)),
    folded("Raw", () => raw(found)),
  ];
}

function orders(found) {
  const name = nameOf(found);
  return section("Actions",
    mayOrder() ? make("p", {}, link("Preview a notice, send an update, copy a map", "/orders/" + encodeURIComponent(found.key))) : null,
    make("div", { class: "buttons" },
      giveOrder("Send a preliminary notice", `Send a preliminary notice about ${name}? Thresholds and blocking labels still apply.`, { order: "send-preliminary", superevent: found.key }),
      giveOrder("Retry the annotation", `Retry the failed annotation of ${name}?`, { order: "annotate", superevent: found.key }),
      ...found.members.filter((one) => one.graceid !== found.preferred).map((one) => giveOrder(`Prefer ${one.graceid}`, `Make ${one.graceid} the preferred event of ${name}?`, { order: "prefer", superevent: found.key, event: one.graceid })),
      ...found.coincidences.filter((one) => one.chosen && !one.announced).map((one) => giveOrder(`Announce with ${one.graceid || one.external}`, `Set RAVEN_ALERT on ${name}, on ${one.graceid || one.external} and on the preferred event?`, { order: "announce", superevent: found.key, external: one.external }))),
    ...found.commands.map(copyable));
}

function states(jobs) {
  const counts = new Map();
  for (const one of jobs) counts.set(one.state, (counts.get(one.state) || 0) + 1);
  return make("span", { class: "chips" }, ...[...counts].map(([name, count]) => make("span", {}, state(name), ` ${count}`)));
}

export function oneSuperevent(found) {
  const pictures = found.products.filter((product) => product.here && product.name.endsWith(".png"));
  return [
    header(found),
    section("Pictures", make("div", { class: "pictures" }, ...pictures.map((product) => onePicture(found.key, product))), pictures.length ? null : make("p", { class: "none" }, "none yet")),
    section("Timeline", story(found.story), ...history(found)),
    members(found),
    coincidences(found),
    found.notices.length ? section("Public alerts", noticeTable(found.notices), ...found.notices.map((one) => folded(`Latency of ${one.name}`, () => parts(one.parts, `Latency of ${one.name}`)))) : null,
    section("Jobs", make("p", {}, states(found.jobs)), folded(`${found.jobs.length} jobs`, () => jobTable(found.jobs))),
    orders(found),
  ].filter(Boolean);
}
