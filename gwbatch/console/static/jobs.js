// The list of jobs, and one job.
import { state } from "./chips.js";
import { copyable, make, raw, section } from "./dom.js";
import { job } from "./names.js";
import { giveOrder } from "./orders.js";
import { moment, seconds } from "./people.js";
import { facts, list, table } from "./tables.js";

const STATES = ["WAITING", "QUEUED", "RUNNING", "HELD", "UNKNOWN", "DONE", "FAILED", "LOST", "CANCELLED"];
const KINDS = ["localize", "em-bright", "combine-skymaps", "external-skymap", "plot-allsky", "plot-volume"];

const WORDS = { release: "Release", cancel: "Cancel", retry: "Retry" };

export function jobTable(rows, sorted) {
  return table("Jobs", [
    ["job", (one) => job(one.key), (one) => one.key], ["state", (one) => state(one.state), (one) => one.state], ["queue", (one) => one.queue], ["host", (one) => one.host], ["cores", (one) => one.cores],
    ["planned (UTC)", (one) => moment(one.created), (one) => one.created],
    ["waited", (one) => (one.started ? seconds(one.started - one.created) : ""), (one) => one.started - one.created],
    ["ran", (one) => (one.finished && one.started ? seconds(one.finished - one.started) : ""), (one) => one.finished - one.started],
    ["try", (one) => one.attempt], ["reason", (one) => one.reason]], rows, sorted);
}

export const jobs = (found, sorted, asked) => [list("Jobs", "jobs", found, asked, { state: ["State", STATES], kind: ["Kind", KINDS] }, jobTable(found.rows, sorted))];

export function oneJob(found) {
  const plain = ["kind", "queue", "attempt", "host", "cores", "scheduler", "native_id", "reason", "directory"];
  return [
    section("Job " + found.key, facts("Job", [["state", state(found.state)], ...plain.map((name) => [name, found[name]]), ...["created", "submitted", "started", "finished"].map((name) => [`${name} (UTC)`, moment(found[name])])])),
    section("stderr (tail)", raw(found.stderr ?? "none on this machine")),
    section("stdout (tail)", raw(found.stdout ?? "none on this machine")),
    section("Actions", make("div", { class: "buttons" }, ...found.orders.map((what) => giveOrder(WORDS[what], `${WORDS[what]} ${found.key}?`, { order: `${what}-job`, job: found.key }))), ...found.commands.map(copyable)),
    ...(found.ordered.length ? [section("Ordered so far", table("Orders", [["at (UTC)", (one) => moment(one.at)], ["order", (one) => WORDS[one.what]], ["try", (one) => one.attempt], ["who and why", (one) => one.reason]], found.ordered))] : []),
    section("Request", raw(found.request)),
    section("Result", raw(found.result)),
  ];
}
