// Public alerts: the switch, the list, and one notice field by field.
import { state } from "./chips.js";
import { copyable, folded, link, make, raw, section } from "./dom.js";
import { superevent } from "./names.js";
import { giveOrder } from "./orders.js";
import { moment, seconds, utc } from "./people.js";
import { parts } from "./story.js";
import { facts, table } from "./tables.js";

export const stoppedText = (alerts) => `ALERTS ARE STOPPED by ${alerts.stopped.by} since ${utc(alerts.stopped.at)} UTC${alerts.stopped.why ? ": " + alerts.stopped.why : ""}`;

export function alertSwitch(found) {
  if (found.stopped) return make("p", { class: "bad" }, stoppedText(found));
  if (found.mode === "off") return make("p", {}, "Alerts are off.");
  const brokers = Object.entries(found.brokers).map(([name, one]) => `${name} (${one.bootstrap}/${one.topic}, ${one.categories.join(" and ")})`);
  const now = make("p", {}, `Mode ${found.mode}${found.dry_run ? ", a dry run: nothing is sent" : ""}; brokers: ${brokers.join(", ") || "none"}.`);
  return make("div", {}, now, giveOrder("Stop all alerts", "Stop sending all notices from now on?", { order: "stop-alerts" }));
}

const arrival = (one, send) => (send.delivered ? `${send.broker} +${seconds(send.delivered - one.frozen)}` : `${send.broker} ${send.state}`);

export function noticeTable(rows, sorted) {
  return table("Public alerts", [
    ["notice", (one) => link(`${one.superevent_id || one.superevent}/${one.name}`, "/alert/" + one.id), (one) => one.id],
    ["state", (one) => state(one.state), (one) => one.state], ["planned (UTC)", (one) => moment(one.planned), (one) => one.planned],
    ["frozen after", (one) => (one.frozen ? seconds(one.frozen - one.planned) : ""), (one) => one.frozen - one.planned],
    ["brokers", (one) => one.brokers.map((send) => arrival(one, send)).join(", ")], ["ordered by", (one) => one.by], ["reason", (one) => one.reason]], rows, sorted);
}

export const alerts = (found, sorted) => [section("Public alerts", alertSwitch(found), noticeTable(found.notices, sorted))];

// A record as rows: event.classification.BNS = 0.99
function fields(value, name) {
  if (value === null || typeof value !== "object") return [[name, String(value)]];
  if (Array.isArray(value) && value.every((one) => one === null || typeof one !== "object")) return [[name, value.length > 12 ? `${value.length} values` : value.join(", ")]];
  return Object.entries(value).flatMap(([key, inner]) => fields(inner, name ? `${name}.${key}` : key));
}

export function oneAlert(found) {
  const lacks = Object.entries({ ...(found.decision || {}).missing, ...(found.decision || {}).unusable });
  return [
    section(`${found.superevent_id || found.superevent}/${found.name}`, make("p", {}, state(found.state), found.reason ? " " + found.reason : ""),
      make("p", {}, superevent({ superevent_id: found.superevent_id, key: found.superevent })), found.uid ? make("p", {}, "_id ", make("code", {}, found.uid)) : null,
      ...lacks.map(([name, why]) => make("p", { class: "bad" }, `without ${name}: ${why}`))),
    section("Delivery", table("Brokers", [
      ["broker", (one) => one.broker], ["topic", (one) => one.topic], ["state", (one) => state(one.state)], ["partition", (one) => one.partition], ["offset", (one) => one.offset],
      ["tries", (one) => one.tries], ["delivered (UTC)", (one) => moment(one.delivered)], ["without", (one) => one.left_out], ["reason", (one) => one.reason]], found.brokers)),
    section("Latency", parts(found.parts, `Latency of ${found.name}`)),
    section("Content", found.record ? facts("Notice", fields(found.record, "")) : make("p", { class: "none" }, "nothing yet"), folded("As it was sent", () => raw(found.record))),
    section("Actions", found.brokers.some((one) => one.state === "withheld") ? giveOrder("Release it", `Send ${found.name} after all?`, { order: "release-notice", notice: found.id }) : null, ...found.commands.map(copyable)),
  ];
}
