// Sortable tables, and lists with search and paging; the address holds the query.
import { make, section } from "./dom.js";

const later = (x, y) => (x === y ? 0 : x === null || x === undefined || x === "" ? 1 : y === null || y === undefined || y === "" ? -1 : x < y ? -1 : 1);

// columns: [title, row => text or node, row => value to sort by (false if not sortable)]
export function table(label, columns, rows, state) {
  const wanted = state || {};
  const shown = rows.slice();
  if (wanted.by !== undefined && columns[wanted.by]) {
    const value = columns[wanted.by][2] || columns[wanted.by][1];
    shown.sort((a, b) => later(value(a), value(b)) * (wanted.down ? -1 : 1));
  }
  const head = make("tr", {}, ...columns.map(([title, , sortable], number) => {
    const cell = make("th", { scope: "col" });
    if (!state || sortable === false) { cell.append(title); return cell; }
    const isBy = wanted.by === number;
    const button = make("button", { type: "button", class: "sort" }, title + (isBy ? (wanted.down ? " ▼" : " ▲") : ""));
    cell.setAttribute("aria-sort", isBy ? (wanted.down ? "descending" : "ascending") : "none");
    button.addEventListener("click", () => { state.down = isBy ? !wanted.down : false; state.by = number; state.redraw(); });
    cell.append(button);
    return cell;
  }));
  const cells = (row) => columns.map(([title, text]) => make("td", { "data-title": title }, text(row) ?? ""));
  const body = make("tbody", {}, ...shown.map((row) => make("tr", {}, ...cells(row))));
  const box = make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Table: " + label }, make("table", {}, make("thead", {}, head), body));
  if (!rows.length) box.append(make("p", { class: "none" }, "none"));
  return box;
}

export const facts = (label, pairs) => table(label, [["fact", ([name]) => name], ["value", ([, value]) => value]], pairs.filter(([, value]) => value !== null && value !== undefined && value !== ""));

const address = (page, asked) => {
  const said = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
  return `#/${page}` + (String(said) ? "?" + said : "");
};

// filters: {name: [title, values]}
export function list(title, page, found, asked, filters, shown) {
  const search = make("input", { id: "filter", type: "search", value: asked.words || "", autocomplete: "off", placeholder: "the beginning of a name" });
  const choices = Object.entries(filters || {}).map(([name, [label, values]]) => {
    const select = make("select", { id: "choose-" + name }, make("option", { value: "" }, "any"), ...values.map((value) => make("option", { value, ...(asked[name] === value ? { selected: "" } : {}) }, value)));
    select.addEventListener("change", go);
    return [name, make("label", { for: "choose-" + name }, label, select), select];
  });
  let waiting = null;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(go, 250); });
  function go() {
    clearTimeout(waiting);
    const said = Object.fromEntries(choices.map(([name, , select]) => [name, select.value]));
    location.replace(address(page, { ...said, words: search.value.trim() }));
  }
  const form = make("form", { class: "search", role: "search" }, make("label", { for: "filter" }, "Search", search), ...choices.map(([, label]) => label));
  form.addEventListener("submit", (event) => { event.preventDefault(); go(); });
  const asked_for = new URLSearchParams(Object.entries(asked).filter(([name, value]) => value && name !== "before"));
  const exported = (ending, more = {}) => make("a", { href: `/${page}.${ending}?${new URLSearchParams([...asked_for, ...Object.entries(more)])}`, download: `${page}.${ending}` }, ending.toUpperCase());
  const turn = make("nav", { class: "paging", "aria-label": "Paging" },
    asked.before ? make("a", { href: address(page, { ...asked, before: "" }) }, "Newest") : null,
    found.next ? make("a", { href: address(page, { ...asked, before: found.next }) }, "Older") : null,
    make("span", {}, "Download: ", exported("csv"), " ", exported("json", { limit: 1000 })));
  return section(title, form, shown, turn);
}
