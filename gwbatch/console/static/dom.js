// Building blocks of the pages. All outside data is inserted as text; nothing here ever parses HTML.

export function make(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) made.setAttribute(name, value);
  for (const child of children.flat()) if (child !== null && child !== undefined) made.append(child instanceof Node ? child : String(child));
  return made;
}

export const link = (text, page) => make("a", { href: "#" + page }, text);
export const outside = (text, address) => (/^https?:\/\//.test(address || "") ? make("a", { href: address, rel: "noreferrer" }, text) : document.createTextNode(text));
export const hidden = (text) => make("span", { class: "unseen" }, text);

export function section(title, ...children) {
  const id = "h-" + title.toLowerCase().replace(/[^a-z]+/g, "-");
  return make("section", { "aria-labelledby": id }, make("h2", { id }, title), ...children);
}

// Long content, built only when the user opens it. It stays open when the page is redrawn.
const opened = new Set();
export function folded(title, create) {
  const made = make("details", opened.has(title) ? { open: "" } : {}, make("summary", {}, title));
  const fill = () => { if (made.open && made.children.length === 1) made.append(...[create()].flat()); };
  made.addEventListener("toggle", () => { if (made.open) opened.add(title); else opened.delete(title); fill(); });
  fill();
  return made;
}

// A node that survives when the page is redrawn, such as a loaded picture.
const kept = new Map();
export function keep(id, create) {
  if (!kept.has(id)) kept.set(id, create());
  return kept.get(id);
}

export const raw = (value) => make("pre", { tabindex: "0" }, typeof value === "string" ? value : JSON.stringify(value, null, 1));

// A command to copy, for what the page itself cannot do.
export function copyable(command) {
  if (!navigator.clipboard) return make("p", { class: "command" }, make("code", {}, command)); // browsers have no clipboard over plain HTTP from another host
  const button = make("button", { type: "button", class: "outline", "aria-label": "Copy the command " + command }, "Copy");
  button.addEventListener("click", () => navigator.clipboard.writeText(command).then(() => { button.textContent = "Copied"; }));
  return make("p", { class: "command" }, make("code", {}, command), " ", button);
}
