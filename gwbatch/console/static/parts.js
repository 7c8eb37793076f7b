"use strict";
// Building blocks.  Whatever comes from outside goes in as text: nothing here ever parses HTML.

const seconds = (value) =>
  value === null || value === undefined ? "" : value < 10 ? value.toFixed(2) + " s" : value < 7200 ? Math.round(value) + " s" : Math.round(value / 3600) + " h";
const moment = (unix) => (unix ? new Date(unix * 1000).toISOString().replace("T", " ").slice(0, 19) : "");
const rate = (hertz) => (hertz === null || hertz === undefined ? "" : hertz.toExponential(2) + " Hz");

function make(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  for (const child of children) if (child !== null && child !== undefined) made.append(child instanceof Node ? child : String(child));
  return made;
}

const link = (text, page) => make("a", { href: "#" + page }, text);
const outside = (text, address) => (/^https?:\/\//.test(address || "") ? make("a", { href: address, rel: "noreferrer" }, text) : document.createTextNode(text));

function section(title, ...children) {
  const id = "h-" + title.toLowerCase().replace(/[^a-z]+/g, "-");
  return make("section", { "aria-labelledby": id }, make("h2", { id }, title), ...children);
}

// A command that does what the page does not do.
function copyable(command) {
  const button = make("button", { type: "button", "aria-label": "Copy the command " + command }, "Copy");
  if (!navigator.clipboard) return make("p", { class: "command" }, make("code", {}, command)); // plain http from elsewhere
  button.addEventListener("click", () => navigator.clipboard.writeText(command).then(() => { button.textContent = "Copied"; }));
  return make("p", { class: "command" }, make("code", {}, command), " ", button);
}

// An order to the dispatcher: asked for with a reason, and only where the console takes orders.
let mayOrder = false;
const askedWhetherWeMay = fetch("/order.json").then((answer) => answer.json()).then((found) => { mayOrder = found.may; }).catch(() => {});

// fields: what is ordered, or a function that says it at the time of the click
function giveOrder(label, question, fields) {
  if (!mayOrder) return null;
  const button = make("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    const wanted = typeof fields === "function" ? fields() : fields;
    const why = prompt(`${question}\n\nWhy? (for the ledger and for GraceDB's log)`);
    if (why === null) return;
    const answer = await fetch("/order.json", {
      method: "POST", headers: { "Content-Type": "application/json", "X-Gwbatch-Order": "1" }, body: JSON.stringify({ ...wanted, why }),
    });
    const said = await answer.json().catch(() => ({ error: "The console does not answer." }));
    window.alert(said.done || said.error);
  });
  return make("p", { class: "command" }, button);
}

function field(id, label, value) {
  const input = make("input", { id, value: value || "", autocomplete: "off", size: "40" });
  return [make("p", {}, make("label", { for: id }, label + " "), input), input];
}

// columns: [title, row => text or node, row => value to sort by]
function table(label, columns, rows, state) {
  const wanted = state || {};
  const shown = rows.slice();
  if (wanted.by !== undefined && columns[wanted.by]) {
    const value = columns[wanted.by][2] || columns[wanted.by][1];
    shown.sort((a, b) => { const x = value(a), y = value(b); return (x === y ? 0 : x === null || x === undefined || x === "" ? 1 : y === null || y === undefined || y === "" ? -1 : x < y ? -1 : 1) * (wanted.down ? -1 : 1); });
  }
  const head = make("tr", {});
  columns.forEach(([title, , sortable], number) => {
    const cell = make("th", { scope: "col" });
    if (state && sortable !== false) {
      const button = make("button", { type: "button", class: "sort" }, title + (wanted.by === number ? (wanted.down ? " ▼" : " ▲") : ""));
      cell.setAttribute("aria-sort", wanted.by === number ? (wanted.down ? "descending" : "ascending") : "none");
      button.addEventListener("click", () => { state.down = wanted.by === number ? !wanted.down : false; state.by = number; state.redraw(); });
      cell.append(button);
    } else cell.append(title);
    head.append(cell);
  });
  const body = shown.map((row) => make("tr", {}, ...columns.map(([, text]) => { const found = text(row); return make("td", {}, found instanceof Node ? found : found === null || found === undefined ? "" : String(found)); })));
  const box = make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Table: " + label });
  box.append(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
  if (!rows.length) box.append(make("p", { class: "none" }, "none"));
  return box;
}

function sparkline(values, label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const width = 120, height = 24, top = Math.max(...values, 1e-9);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("class", "spark");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${label}: newest ${values.length ? values[values.length - 1].toPrecision(3) : "none"}, largest ${top.toPrecision(3)}`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", values.map((value, number) => `${(number * width) / Math.max(1, values.length - 1)},${height - 1 - ((height - 2) * value) / top}`).join(" "));
  svg.append(line);
  return svg;
}

// parts: [{name, begin, end}] in Unix seconds, drawn as bars below each other on one scale of time
function bars(parts, label) {
  if (!parts.length) return make("p", { class: "none" }, "nothing yet");
  const svg = (tag, attributes) => { const made = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value); return made; };
  const left = 230, width = 720, row = 22, begin = Math.min(...parts.map((one) => one.begin)), whole = Math.max(...parts.map((one) => one.end)) - begin || 1;
  const words = parts.map((one) => `${one.name} ${(one.end - one.begin).toFixed(2)} s`).join(", ");
  const picture = svg("svg", { viewBox: `0 0 ${width} ${row * parts.length}`, class: "bars", role: "img", "aria-label": `${label}: ${words}` });
  parts.forEach((one, number) => {
    const x = left + ((width - left - 80) * (one.begin - begin)) / whole, length = Math.max(2, ((width - left - 80) * (one.end - one.begin)) / whole);
    const name = svg("text", { x: 0, y: row * number + 15 }), took = svg("text", { x: x + length + 4, y: row * number + 15 });
    name.textContent = one.name;
    took.textContent = seconds(one.end - one.begin);
    picture.append(name, svg("rect", { x, y: row * number + 3, width: length, height: row - 6 }), took);
  });
  return make("figure", {}, picture, make("figcaption", {}, label));
}
