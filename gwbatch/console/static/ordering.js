// Orders about a superevent that need more than a click.
import { make, raw, section } from "./dom.js";
import { nameOf, superevent } from "./names.js";
import { giveOrder, mayOrder } from "./orders.js";
import { table } from "./tables.js";

const PRODUCTS = [["bayestar.multiorder.fits", "Sky map"], ["em_bright.json", "Source properties"], ["p_astro.json", "Source classification"], ["mchirp_source.json", "Chirp mass"]];

function field(id, label, value) {
  const input = make("input", { id, value: value || "", autocomplete: "off" });
  return [make("label", { for: id }, label, input), input];
}

function previewed(found) {
  const lacks = Object.entries({ ...found.missing, ...found.unusable });
  return [
    make("p", { class: found.refused ? "bad" : "good" }, found.refused ? `It would NOT go out: ${found.refused}.` : "It would go out."),
    ...lacks.map(([name, why]) => make("p", { class: "bad" }, `without ${name}: ${why}`)),
    table("Recipients", [
      ["broker", ([name]) => name], ["topic", ([, one]) => one.topic], ["bytes", ([, one]) => one.bytes], ["without", ([, one]) => one.left_out], ["withheld", ([, one]) => one.obstacle]], Object.entries(found.brokers)),
    raw(found.record),
  ];
}

function noticeForm(found) {
  const kind = make("select", { id: "kind" }, ...["ordered-preliminary", "update"].map((name) => make("option", { value: name }, name)));
  const files = PRODUCTS.map(([product, label]) => [product, field("file-" + product, `${label} (NAME,VERSION; empty for the newest)`)]);
  const chosen = () => Object.fromEntries(files.map(([product, [, input]]) => [product, input.value.trim()]).filter(([, file]) => file));
  const shown = make("div", { "aria-live": "polite" });
  const look = make("button", { type: "button" }, "Preview");
  look.addEventListener("click", async () => {
    const answer = await fetch("/preview.json?" + new URLSearchParams({ superevent: found.key, kind: kind.value, files: JSON.stringify(chosen()) }));
    const said = await answer.json().catch(() => ({ error: "The console does not answer." }));
    shown.replaceChildren(...(answer.ok ? previewed(said) : [make("p", { class: "bad" }, said.error)]));
  });
  const send = giveOrder("Send", `Send this notice about ${nameOf(found)}?`, () => (kind.value === "update"
    ? { order: "send-update", superevent: found.key, files: chosen() } : { order: "send-preliminary", superevent: found.key }));
  return section("A notice", make("label", { for: "kind" }, "Kind", kind), make("p", {}, "A preliminary notice takes the preferred event's own files."), ...files.map(([, [line]]) => line), make("div", { class: "buttons" }, look, send), shown);
}

export function ordering(found) {
  const name = nameOf(found);
  if (!mayOrder()) return [section("Orders about " + name, make("p", { class: "none" }, "This console takes no orders because it does not require a token."))];
  const [sourceLine, source] = field("source", "Event or superevent", found.preferred), [fileLine, file] = field("file", "File (NAME,VERSION)");
  return [
    section("Orders about " + name, make("p", {}, superevent(found))),
    noticeForm(found),
    section("A sky map of another event", sourceLine, fileLine, giveOrder("Copy it", `Copy this map to ${name}?`, () => ({ order: "copy-map", source: source.value.trim(), file: file.value.trim(), target: found.superevent_id }))),
    ...found.coincidences.map((one) => {
      const [line, input] = field("url-" + one.external, "Address (https://)"), whom = one.graceid || one.external;
      return section(`A sky map for ${whom}`, line, giveOrder("Use it", `Use this map for ${whom}?`, () => ({ order: "use-map", external: one.external, url: input.value.trim() })));
    }),
    section("Preferred event of a pipeline", make("div", { class: "buttons" }, ...found.members.map((one) => giveOrder(`${one.graceid} for ${one.pipeline}`, `Make ${one.graceid} the preferred event of ${one.pipeline}? No notice is sent.`, { order: "prefer-for-pipeline", superevent: found.key, event: one.graceid })))),
  ];
}
