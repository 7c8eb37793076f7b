"use strict";
// Which page is open, and keeping it current.  The overview is pushed; the others are asked for every few seconds.

const AGAIN = 5000; // ms
const content = document.getElementById("content");
const headline = document.getElementById("headline");
const states = {};
let timer = null, shownRoute = null, pushed = null;

// What is asked for, how it is drawn, and whether it stays as it is, for people type into it.
const pages = {
  "": [null, overview],
  superevents: [() => "/superevents.json?limit=500", superevents],
  superevent: [(name) => "/superevent.json?" + new URLSearchParams({ name }), oneSuperevent],
  orders: [(name) => "/superevent.json?" + new URLSearchParams({ name }), orders, true],
  alerts: [() => "/alerts.json?limit=500", alerts],
  alert: [(id) => "/alert.json?" + new URLSearchParams({ id }), oneAlert],
  jobs: [() => "/jobs.json?limit=500", jobs],
  job: [(key) => "/job.json?" + new URLSearchParams({ key }), oneJob],
  messages: [() => "/messages.json", messages],
  deadletter: [(id) => "/deadletter.json?" + new URLSearchParams({ id }), deadLetter],
};

function route() {
  const [page, ...rest] = (location.hash.replace(/^#\/?/, "") || "").split("/");
  return { page: page in pages ? page : "", argument: decodeURIComponent(rest.join("/")) };
}

function draw(page, found) {
  const state = (states[page] = states[page] || {});
  state.redraw = () => draw(page, found);
  const focused = document.activeElement && document.activeElement.id, at = focused && document.activeElement.selectionStart;
  const scrolled = [...content.querySelectorAll(".wide")].map((box) => box.scrollLeft);
  content.replaceChildren(...pages[page][1](found, state));
  [...content.querySelectorAll(".wide")].forEach((box, number) => { box.scrollLeft = scrolled[number] || 0; });
  const back = focused && document.getElementById(focused);
  if (back) { back.focus(); if (at !== null && back.setSelectionRange) back.setSelectionRange(at, at); }
}

async function refresh() {
  clearTimeout(timer);
  const { page, argument } = route();
  const [address] = pages[page];
  if (address === null) { if (pushed !== undefined) draw(page, pushed); return; }
  try {
    const answer = await fetch(address(argument));
    if (answer.status === 401) { location.reload(); return; }
    const found = await answer.json();
    const now = route();
    if (now.page !== page || now.argument !== argument) return;
    // Text somebody is selecting or typing stays.
    if (answer.ok) { if (shownRoute !== location.hash || (!pages[page][2] && String(getSelection()) === "")) draw(page, found); }
    else content.replaceChildren(section("Not found", make("p", {}, found.error)));
    shownRoute = location.hash;
  } catch {
    headline.textContent = "The console does not answer; trying again.";
    headline.className = "bad";
  }
  timer = setTimeout(refresh, AGAIN);
}

function open() {
  const { page } = route();
  for (const link of document.querySelectorAll("nav a")) {
    const own = link.getAttribute("href").replace(/^#\/?/, "");
    if (own === page || (own && page && own.startsWith(page))) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = (page ? page + " – " : "") + "gwbatch";
  refresh();
}

function push(found) {
  pushed = found;
  const who = found && found.dispatcher;
  headline.textContent = !found ? "No dispatcher ever ran here." : who.running ? `dispatcher runs on ${who.host} (pid ${who.pid})` : "No dispatcher is running.";
  headline.className = found && who.running ? "good" : "bad";
  if (found && found.alerts.stopped) { headline.textContent += `. ${stoppedText(found.alerts)}`; headline.className = "bad"; }
  // Text that somebody selects, and a link that has the focus, stay as they are.
  if (route().page === "" && (!content.firstChild || (String(getSelection()) === "" && !content.matches(":focus-within:not(:focus)")))) draw("", found);
}

function listen() {
  const stream = new EventSource("/events");
  stream.onmessage = (message) => push(JSON.parse(message.data));
  stream.onerror = () => {
    headline.textContent = "The console does not answer; trying again.";
    headline.className = "bad";
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN);
  };
}
listen();
pushed = undefined;
addEventListener("hashchange", () => { open(); content.focus(); });
askedWhetherWeMay.then(open);
