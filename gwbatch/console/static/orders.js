// Orders to the dispatcher, each confirmed with a reason, and only if the console takes orders.
import { make } from "./dom.js";

let may = false;
export const mayOrder = () => may;
export const asked = fetch("/order.json").then((answer) => answer.json()).then((found) => { may = found.may; }).catch(() => {});

const dialog = document.getElementById("dialog");

function show(...children) {
  dialog.replaceChildren(make("article", {}, ...children));
  if (!dialog.open) dialog.showModal();
}

function confirmed(label, question) {
  return new Promise((resolve) => {
    const why = make("textarea", { id: "why", rows: "2" });
    const go = make("button", { type: "submit" }, label), stop = make("button", { type: "button", class: "secondary" }, "Cancel");
    const form = make("form", {}, make("h2", { id: "dialog-title" }, question), make("label", { for: "why" }, "Reason (for the ledger and GraceDB's log)", why), make("div", { class: "buttons" }, stop, go));
    stop.addEventListener("click", () => dialog.close());
    dialog.onclose = () => resolve(null);
    form.addEventListener("submit", (event) => { event.preventDefault(); go.disabled = true; resolve(why.value); });
    show(form);
    why.focus();
  });
}

async function order(wanted) {
  const answer = await fetch("/order.json", { method: "POST", headers: { "Content-Type": "application/json", "X-Gwbatch-Order": "1" }, body: JSON.stringify(wanted) });
  return answer.json();
}

// fields: the fields of the order, or a function that returns them at the time of the click
export function giveOrder(label, question, fields) {
  if (!may) return null;
  const button = make("button", { type: "button", class: "outline" }, label);
  button.addEventListener("click", async () => {
    const wanted = typeof fields === "function" ? fields() : fields;
    const why = await confirmed(label, question);
    if (why === null) return;
    const said = await order({ ...wanted, why }).catch(() => ({ error: "The console does not answer, so it is not known whether the order was taken. Check the page before repeating it." }));
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", () => dialog.close());
    dialog.onclose = null;
    show(make("h2", { id: "dialog-title" }, said.error ? "Not done" : "Done"), make("p", { class: said.error ? "bad" : "good" }, said.done || said.error), make("div", { class: "buttons" }, close));
    close.focus();
  });
  return button;
}
