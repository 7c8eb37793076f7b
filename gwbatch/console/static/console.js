// Routing between pages, and keeping the open page current whenever the server reports a change.
import { overview } from "./overview.js";
import { oneSuperevent, superevents } from "./superevents.js";
import { alerts, oneAlert, stoppedText } from "./notices.js";
import { jobs, oneJob } from "./jobs.js";
import { deadLetter, deadLetters, messages } from "./messages.js";
import { campaigns, oneCampaign } from "./campaigns.js";
import { ordering } from "./ordering.js";
import { asked as askedWhetherWeMay } from "./orders.js";
import { make, section } from "./dom.js";

const AGAIN = 3000; // ms before reconnecting after a lost connection
const AT_MOST = 1000; // least ms between two reads of a page
const content = document.getElementById("content"), headline = document.getElementById("headline"), dialog = document.getElementById("dialog");
const sorted = {};
let pushed, newest = "", shown = null, drawnAt = 0, timer = null;

const by = (page, name) => (argument) => `/${page}.json?` + new URLSearchParams({ [name]: argument });
const list = (page) => (_, asked) => `/${page}.json?` + new URLSearchParams(asked);
// For each page: the address of its data, the function that draws it, and whether to leave it unchanged while it is
// open because people type into it.
const pages = {
  "": [null, overview],
  superevents: [list("superevents"), superevents],
  superevent: [by("superevent", "name"), oneSuperevent],
  orders: [by("superevent", "name"), ordering, true],
  alerts: [() => "/alerts.json?limit=500", alerts],
  alert: [by("alert", "id"), oneAlert],
  jobs: [list("jobs"), jobs],
  job: [by("job", "key"), oneJob],
  messages: [list("messages"), messages],
  deadletters: [list("deadletters"), deadLetters],
  deadletter: [by("deadletter", "id"), deadLetter],
  campaigns: [() => "/campaigns.json", campaigns],
  campaign: [by("campaign", "path"), oneCampaign],
};

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/");
  return { page: page in pages ? page : "", argument: decodeURIComponent(rest.join("/")), asked: Object.fromEntries(new URLSearchParams(query || "")) };
}

function draw(page, found, asked) {
  const state = (sorted[page] = sorted[page] || {});
  state.redraw = () => draw(page, found, asked);
  const focused = whereTheFocusIs();
  const scrolled = [...content.querySelectorAll(".wide")].map((box) => box.scrollLeft);
  content.replaceChildren(...pages[page][1](found, state, asked));
  [...content.querySelectorAll(".wide")].forEach((box, number) => { box.scrollLeft = scrolled[number] || 0; });
  if (focused) giveTheFocusBack(focused);
}

const focusable = () => [...content.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]")];

function whereTheFocusIs() {
  const one = document.activeElement;
  return content.contains(one) && one !== content ? { number: focusable().indexOf(one), tag: one.tagName, id: one.id, text: one.textContent, typed: one.value, at: one.selectionStart } : null;
}

// Focus the element that looks the same at the same position, or else the first one that looks the same.
function giveTheFocusBack(before) {
  const all = focusable(), isSame = (one) => one && one.tagName === before.tag && one.id === before.id && one.textContent === before.text;
  const back = isSame(all[before.number]) ? all[before.number] : all.find(isSame);
  if (!back) return;
  if (back.tagName === "INPUT") back.value = before.typed;
  back.focus({ preventScroll: true });
  if (typeof before.at === "number" && back.setSelectionRange) back.setSelectionRange(before.at, before.at);
}

// Do not redraw while the user is selecting text, pressing a button or answering a dialog.
let isPressed = false;
addEventListener("pointerdown", () => { isPressed = true; });
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { isPressed = false; });
const isInUse = () => String(getSelection()) !== "" || dialog.open || isPressed;

async function refresh() {
  const here = location.hash, { page, argument, asked } = route(), [address, , stays] = pages[page];
  drawnAt = performance.now();
  if (address === null) { if (pushed !== undefined && (shown !== here || !isInUse())) { draw(page, pushed, asked); arrived(here); } return; }
  try {
    const answer = await fetch(address(argument, asked));
    if (answer.status === 401) { location.reload(); return; }
    const found = await answer.json();
    if (location.hash !== here) return;
    if (!answer.ok) content.replaceChildren(section("Not found", make("p", {}, found.error)));
    else if (shown !== here || (!stays && !isInUse())) draw(page, found, asked);
    arrived(here);
  } catch {
    lost();
  }
}

// A change of address and a live update may both draw a new page. Only the first of them moves the focus there, because
// by the second one the user may be typing. A search on the same page leaves the focus where it is.
function arrived(here) {
  const isOther = shown !== null && shown.split("?")[0] !== here.split("?")[0];
  shown = here;
  if (isOther) { content.focus({ preventScroll: true }); scrollTo(0, 0); }
}

function lost() {
  headline.textContent = "The console does not answer; trying again.";
  headline.className = "bad";
}

// Refresh at most once per AT_MOST, and once more after the last change.
function later() {
  if (timer) return;
  timer = setTimeout(() => { timer = null; if (!document.hidden) refresh(); }, Math.max(0, drawnAt + AT_MOST - performance.now()));
}

function open() {
  const { page } = route(), own = { superevent: "superevents", orders: "superevents", alert: "alerts", job: "jobs", deadletter: "deadletters", campaign: "campaigns" }[page] || page;
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.getAttribute("href").replace(/^#\/?/, "") === own) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  nameThePage(page);
  return refresh();
}

// With several installations open, the title of a tab and the headline say which GraceDB a page is about.
function nameThePage(page) {
  const installation = pushed && pushed.installation, name = installation ? installation.name : "";
  document.title = [page, name, "gwbatch"].filter(Boolean).join(" – ");
  document.getElementById("installation").textContent = name;
}

function push(found, number) {
  pushed = found;
  nameThePage(route().page);
  const who = found && found.dispatcher;
  headline.textContent = !found ? "No dispatcher has run here yet." : found.error ? found.error : who.running ? `dispatcher runs on ${who.host} (pid ${who.pid})` : "No dispatcher is running.";
  headline.className = who && who.running ? "good" : "bad";
  if (found && found.alerts && found.alerts.stopped) { headline.textContent += `. ${stoppedText(found.alerts)}`; headline.className = "bad"; }
  const hasChanged = number !== newest, { page, asked } = route();
  newest = number;
  if (page === "" || page.startsWith("campaign") || (hasChanged && !asked.before)) later();
}

function listen() {
  const stream = new EventSource("/events");
  stream.onmessage = (message) => push(JSON.parse(message.data), message.lastEventId);
  stream.onerror = () => { lost(); if (stream.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN); };
}

const KEYS = { 1: "#/", 2: "#/superevents", 3: "#/alerts", 4: "#/jobs", 5: "#/messages", 6: "#/deadletters", 7: "#/campaigns" };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  if (event.key in KEYS) location.hash = KEYS[event.key];
  else if (event.key === "/" && document.getElementById("filter")) { event.preventDefault(); document.getElementById("filter").focus(); }
});
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => { if (!document.hidden) later(); });
askedWhetherWeMay.then(() => { listen(); return open(); });
