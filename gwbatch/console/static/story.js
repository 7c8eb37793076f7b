// The story of a superevent as bars on a time axis.
import { folded, hidden, make } from "./dom.js";
import { seconds } from "./people.js";

const ROWS = 10; // shown at once; the others are folded
const FIRST = ["waited for", "decisions"];

function place(one, until) {
  const begin = Math.max(0, one.begin), length = Math.max(0, Math.min(one.end, until) - begin);
  const bar = make("span", { class: "bar " + one.what, title: `${one.text}: ${seconds(one.end - one.begin)}, starting at ${begin.toFixed(2)} s` });
  bar.style.left = (100 * begin) / until + "%";
  bar.style.width = `max(3px, ${(100 * length) / until}%)`;
  return bar;
}

function line(row, until) {
  const shown = row.bars.filter((one) => one.begin < until);
  const whole = row.bars.reduce((sum, one) => sum + one.end - one.begin, 0);
  const words = row.bars.slice(0, 20).map((one) => `${one.text}, ${seconds(one.end - one.begin)}`).join("; ");
  return make("li", { class: "line" }, make("span", { class: "name", title: row.row }, row.row.replace(/^job /, "")),
    make("span", { class: "track" }, ...shown.map((one) => place(one, until)), hidden(words)), make("span", { class: "took" }, whole ? seconds(whole) : ""));
}

// list: [{name, begin, end}] in Unix seconds, one bar per row
export function parts(list, title) {
  if (!list.length) return make("p", { class: "none" }, "nothing yet");
  const zero = Math.min(...list.map((one) => one.begin)), until = Math.max(...list.map((one) => one.end)) - zero || 1;
  const rows = list.map((one) => ({ row: one.name, bars: [{ what: "running", text: one.name, begin: one.begin - zero, end: one.end - zero }] }));
  const words = list.map((one) => `${one.name} ${(one.end - one.begin).toFixed(2)} s`).join(", ");
  return make("figure", { class: "story" }, make("div", { role: "img", "aria-label": `${title}: ${words}` }, make("ul", {}, ...rows.map((row) => line(row, until)))), make("figcaption", {}, title));
}

function scale(until) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400].find((one) => until / one <= 8) || until / 8;
  const track = make("span", { class: "track" });
  for (let at = 0; at < until; at += step) {
    const tick = make("span", { class: "tick" }, step < 1 ? at.toFixed(1) : at < 600 ? `${Math.round(at)} s` : seconds(at));
    tick.style.left = (100 * at) / until + "%";
    track.append(tick);
  }
  return make("li", { class: "line scale", "aria-hidden": "true" }, make("span", { class: "name" }), track, make("span", { class: "took" }));
}

export function story(found) {
  const until = found.until;
  const rank = (row) => (FIRST.includes(row.row) ? FIRST.indexOf(row.row) : row.row.startsWith("notice ") ? 2 : row.row === "effects" ? 3 : 4);
  const length = (row) => row.bars.reduce((sum, one) => sum + Math.max(0, Math.min(one.end, until) - Math.max(0, one.begin)), 0);
  const rows = found.rows.filter((row) => row.bars.some((one) => one.begin < until)).sort((a, b) => rank(a) - rank(b) || length(b) - length(a));
  const more = rows.slice(ROWS);
  const kinds = [["awaited", "nothing else could proceed"], ["waiting", "waiting"], ["running", "running"], ["decision", "decision"], ["upload", "upload"], ["notice", "notice"]];
  return make("figure", { class: "story" },
    make("ul", {}, scale(until), ...rows.slice(0, ROWS).map((row) => line(row, until))),
    more.length ? folded(`${more.length} more`, () => make("ul", {}, ...more.map((row) => line(row, until)))) : null,
    make("figcaption", {}, `Seconds since ${found.origin}. `, ...kinds.map(([kind, text]) => make("span", { class: "key" }, make("span", { class: "bar " + kind, "aria-hidden": "true" }), text))));
}
