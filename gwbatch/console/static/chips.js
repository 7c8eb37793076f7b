// Labels with a colour and a symbol, so that nobody has to tell colours apart.
import { link, make } from "./dom.js";
import { percent } from "./people.js";

const SIGNS = { good: "●", warn: "▲", bad: "■", off: "○", busy: "◆" };
const STATES = {
  DONE: "good", done: "good", stored: "good", delivered: "good", frozen: "busy", planned: "busy", RUNNING: "busy", running: "busy", QUEUED: "off", WAITING: "off", SUBMITTING: "off", ready: "off", new: "off",
  HELD: "warn", UNKNOWN: "warn", withheld: "warn", CANCELLED: "off", cancelled: "off", FAILED: "bad", LOST: "bad", dead: "bad", refused: "bad",
};
const LABELS = [[/_SENT$/, "busy"], [/^ADVOK$/, "good"], [/^(ADVNO|DQV|INJ|NOT_GRB)$/, "bad"], [/^(EM_COINC|RAVEN_ALERT|HIGH_PROFILE|ADVREQ)$/, "warn"]];

export const chip = (text, kind) => make("span", { class: "chip " + kind }, make("span", { "aria-hidden": "true" }, SIGNS[kind] + " "), text);
export const state = (name) => (name ? chip(name, STATES[name] || "off") : "");
export const label = (name) => make("span", { class: "chip " + kindOf(name) }, name);
const kindOf = (name) => (LABELS.find(([pattern]) => pattern.test(name)) || [null, "off"])[1];
// The labels that say more than that a file exists.
export const tellingLabels = (names) => labels(names.filter((name) => kindOf(name) !== "off"));
export const labels = (names) => make("span", { class: "chips" }, ...names.map(label));
export const notices = (list) => make("span", { class: "chips" }, ...list.map((one) => make("a", { href: "#/alert/" + one.id, class: "chip " + (STATES[one.state] || "off") }, one.name)));

// probabilities: {name: 0 to 1}
export function shares(probabilities, title) {
  const all = Object.entries(probabilities || {}).sort((a, b) => b[1] - a[1]), shown = all.filter(([, value]) => value >= 0.005);
  if (!shown.length) return null;
  const bar = make("span", { class: "shares", "aria-hidden": "true" });
  for (const [name, value] of shown) {
    const part = make("span", { class: "share share-" + name.toLowerCase().replace(/[^a-z]/g, "") });
    part.style.width = 100 * value + "%";
    bar.append(part);
  }
  return make("div", { class: "probabilities" }, bar, make("span", {}, `${title}: ` + shown.map(([name, value]) => `${name} ${percent(value)}`).join(", ")));
}

export function tile(one) {
  const name = one.page ? link(one.name, one.page) : one.name;
  return make("article", { class: "tile " + one.state }, make("h3", {}, name), make("p", { class: "value" }, chip(one.value, one.state)), make("p", { class: "detail" }, one.wrong || one.detail));
}
