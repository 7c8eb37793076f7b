// Campaigns of thousands of events over many nodes: their progress and their failures.
import { chip } from "./chips.js";
import { folded, link, make, section } from "./dom.js";
import { seconds } from "./people.js";
import { facts, table } from "./tables.js";

const LOOKS = { running: "busy", done: "good", stopped: "off", silent: "warn", unreadable: "bad" };
const nameOf = (one) => one.path.split("/").pop();
const per = (value) => (value === null || value === undefined ? "" : `${Math.round(100 * value)} %`);
const rate = (live) => (live && live.rate ? `${Math.round(live.rate)} events/h` : "");

function progress(one) {
  const finished = one.done + one.set_aside, share = one.events ? finished / one.events : 1;
  return make("span", {}, make("progress", { value: finished, max: one.events || 1, "aria-label": `${nameOf(one)}: ${Math.floor(100 * share)} % done` }), ` ${Math.floor(100 * share)} %`);
}

export function campaigns(found, sorted) {
  if (!found.campaigns.length) {
    return [section("Campaigns", make("p", { class: "none" }, "None. Name their folders: gwbatch console --campaigns FOLDER, or console.campaigns in the site profile."))];
  }
  return [section("Campaigns", table("Campaigns", [
    ["campaign", (one) => (one.error ? one.path : link(nameOf(one), "/campaign/" + encodeURIComponent(one.path))), (one) => one.path],
    ["state", (one) => chip(one.state, LOOKS[one.state]), (one) => one.state],
    ["progress", (one) => (one.error ? one.error : progress(one)), (one) => (one.events ? one.done / one.events : 0)],
    ["done", (one) => one.done], ["left", (one) => one.left], ["set aside", (one) => one.set_aside],
    ["rate", (one) => rate(one.live), (one) => (one.live && one.live.rate) || 0],
    ["efficiency", (one) => per(one.live && one.live.efficiency), (one) => (one.live && one.live.efficiency) || 0],
    ["time left", (one) => seconds(one.live && !one.live.ended ? one.live.seconds_left : null), (one) => (one.live && one.live.seconds_left) || 0]], found.campaigns, sorted))];
}

export function oneCampaign(found) {
  const live = found.live, nodes = Object.entries((live && live.nodes) || {}).map(([name, processes]) => ({ name, processes, fault: found.nodes_at_fault[name] || "" }));
  for (const [name, fault] of Object.entries(found.nodes_at_fault)) if (!nodes.some((one) => one.name === name)) nodes.push({ name, processes: 0, fault });
  return [
    section(nameOf(found), make("p", {}, chip(found.state, LOOKS[found.state]), " ", progress(found)), facts("Campaign", [
      ["folder", found.path], ["events", found.events], ["done", found.done], ["left", found.left], ["set aside", found.set_aside],
      ["rate", rate(live)], ["efficiency", per(live && live.efficiency)], ["time left", live && !live.ended ? seconds(live.seconds_left) : ""],
      ["silent for", found.state === "silent" ? seconds(live.silent) : ""],
      ["CPU per event", seconds(found.cpu)], ["CPU over prediction", found.cpu_over_predicted === null ? "" : found.cpu_over_predicted.toFixed(2)]])),
    section("Failures by reason", table("Failures by reason", [["events", ([, count]) => count], ["reason", ([reason]) => reason]], Object.entries(found.reasons))),
    nodes.length ? section("Nodes", table("Nodes", [["node", (one) => one.name], ["processes", (one) => one.processes], ["fault", (one) => one.fault]], nodes)) : null,
    found.workers.length ? section("Workers", table("Workers", [
      ["host", (one) => one.host], ["busy", (one) => `${one.working} of ${one.processes}`], ["done", (one) => one.done], ["last report", (one) => seconds(one.silent) + " ago"]], found.workers)) : null,
    found.failed.length ? folded(`${found.set_aside} events set aside`, () => table("Events set aside", [
      ["event", (one) => one.name], ["attempts", (one) => one.attempts], ["reason", (one) => one.reason]], found.failed)) : null,
    Object.keys(found.rejected).length ? folded("Files without an event", () => table("Files without an event", [["file", ([path]) => path], ["reason", ([, reason]) => reason]], Object.entries(found.rejected))) : null,
  ].filter(Boolean);
}
