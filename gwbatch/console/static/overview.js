// The whole system on one screen.
import { chart, sparkline } from "./charts.js";
import { chip, labels, notices, shares, state, tellingLabels, tile } from "./chips.js";
import { folded, keep, make, section } from "./dom.js";
import { job, nameOf, picture, superevent } from "./names.js";
import { alertSwitch } from "./notices.js";
import { ago, far, moment, rate, seconds, snr } from "./people.js";
import { table } from "./tables.js";

const LEVELS = { OK: "off", WARNING: "warn", CRITICAL: "bad", UNKNOWN: "bad" };

function finding(one) {
  const since = one.since === null ? null : make("span", { class: "detail" }, " since ", moment(one.since), " UTC");
  return make("li", {}, chip(one.level === "OK" ? "no action needed" : one.level, LEVELS[one.level]), " ", one.text, since, one.remedy ? make("div", { class: "remedy" }, one.remedy) : null);
}

function banner(found) {
  const wrong = found.findings.filter((one) => one.level !== "OK"), rest = found.findings.filter((one) => one.level === "OK");
  const worst = !wrong.length ? "good" : wrong.some((one) => one.level !== "WARNING") ? "bad" : "warn";
  return make("section", { class: "banner " + worst, "aria-labelledby": "h-wrong" }, make("h2", { id: "h-wrong" }, "What is wrong right now"),
    wrong.length ? make("ul", { tabindex: "0", "aria-label": "What is wrong" }, ...wrong.map(finding)) : make("p", { class: "good" }, chip("All is well", "good")),
    rest.length ? folded(`${rest.length} for information`, () => make("ul", {}, ...rest.map(finding))) : null);
}

function card(one, now) {
  const map = one.picture
    ? keep("map-" + one.key, () => make("img", { src: picture(one.key, one.picture), alt: "Sky map of " + nameOf(one), loading: "lazy" }))
    : make("p", { class: "nomap" }, "no map yet");
  const took = Object.entries(one.elapsed).map(([name, value]) => `${{ decided: "decided", finished: "map", delivered: "notice" }[name]} +${seconds(value)}`);
  return make("article", { class: "card" }, make("div", { class: "map" }, map), make("div", {},
    make("h3", {}, superevent(one), make("span", { class: "detail" }, one.category === "production" ? " " : ` ${one.category} `, ago(one.began, now))),
    make("p", { class: "numbers" }, make("strong", {}, far(one.far) || "no FAR"), one.snr ? `, SNR ${snr(one.snr)}` : "", one.instruments.length ? `, ${one.instruments.join(" ")}` : "", one.area_90 ? `, 90 % in ${Math.round(one.area_90)} deg²` : ""),
    make("p", { class: "detail" }, `${one.pipeline || ""} ${one.search || ""}, ${one.members} ${one.members === 1 ? "event" : "events"}${took.length ? "; " + took.join(", ") : ""}`),
    shares(one.classification, "Class"), tellingLabels(one.labels), one.notices.length ? notices(one.notices) : null));
}

function charts(found) {
  const minutes = found.messages.per_minute, now = Math.floor(found.time / 60) * 60;
  const times = minutes.map((_, number) => now - 60 * (minutes.length - 1 - number));
  const series = found.series, values = (name) => series.map((one) => one[name] ?? null);
  const last = series.length ? series[series.length - 1] : {};
  return make("div", { class: "charts" },
    chart("alerts", "Alerts in, each minute", `${found.messages.last_hour} in the last hour`, times, [["alerts", "--blue", minutes]], "", false),
    chart("latency", "Seconds from the first alert to …", `newest superevent: decision ${seconds(last.decided) || "none"}, map ${seconds(last.finished) || "none"}, notice ${seconds(last.delivered) || "none"}`,
      series.map((one) => one.at), [["decision", "--green", values("decided")], ["map", "--blue", values("finished")], ["notice", "--orange", values("delivered")]], "s", true));
}

export function overview(found) {
  if (found === null) return [section("What is wrong right now", make("p", {}, "No dispatcher has run here yet."))];
  if (found.error) return [section("What is wrong right now", make("p", { class: "bad" }, found.error))];
  return [
    banner(found),
    make("section", { "aria-labelledby": "h-parts" }, make("h2", { id: "h-parts" }, "Components"), make("div", { class: "tiles" }, ...found.tiles.map(tile))),
    section("Superevents of the last day", found.cards.length ? make("div", { class: "cards" }, ...found.cards.map((one) => card(one, found.time))) : make("p", { class: "none" }, "none")),
    section("Rate and latency", charts(found)),
    found.alerts.mode === "off" ? null : section("Alerts", alertSwitch(found.alerts)),
    folded("External events", () => table("External events", [
      ["external", (one) => one.graceid || one.key], ["trigger", (one) => `${one.observatory} ${one.trigger_id}`], ["search", (one) => one.search], ["labels", (one) => labels(one.labels)],
      ["coincidence", (one) => (one.coincidence ? `${one.coincidence.superevent} ${one.coincidence.dt.toFixed(2)} s, ${rate(one.coincidence.far_spacetime ?? one.coincidence.far_time)}` : "")]], found.external_events)),
    folded(`${found.jobs.open.length} open jobs`, () => table("Open jobs", [
      ["job", (one) => job(one.key)], ["queue", (one) => one.queue], ["state", (one) => state(one.state)], ["for", (one) => seconds(one.age)],
      ["host", (one) => one.host], ["cores", (one) => one.cores], ["reason", (one) => one.reason]], found.jobs.open)),
    folded("Latency by stage", () => table("Latencies", [
      ["stage", ([stage]) => stage], ["count", ([, one]) => one.count], ["median", ([, one]) => seconds(one.p50)],
      ["95th percentile", ([, one]) => seconds(one.p95)], ["newest", ([stage, one]) => sparkline(one.recent, stage)]], Object.entries(found.latencies))),
    make("p", { class: "detail" }, "Ledger ", make("code", {}, found.ledger), ", read at ", moment(found.time), " UTC"),
  ].filter(Boolean);
}
