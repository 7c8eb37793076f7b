// Received messages, and dead letters.
import { link, make, raw, section } from "./dom.js";
import { giveOrder } from "./orders.js";
import { moment } from "./people.js";
import { facts, list, table } from "./tables.js";

export function messages(found, sorted, asked) {
  return [list("Newest messages", "messages", found, asked, {}, table("Newest messages", [
    ["number", (one) => one.id], ["topic", (one) => one.topic], ["from", (one) => one.source], ["received (UTC)", (one) => moment(one.received), (one) => one.received], ["bytes", (one) => one.size],
    ["lanes", (one) => one.deliveries.map((delivery) => `${delivery.lane} ${delivery.state}`).join(", "), false],
    ["decided", (one) => one.decisions.map((decision) => `${decision.action} ${decision.superevent || ""}`).join(", "), false]], found.rows, sorted))];
}

export function deadLetters(found, sorted, asked) {
  return [list("Dead letters", "deadletters", found, asked, {}, table("Dead letters", [
    ["letter", (one) => link(one.id, "/deadletter/" + one.id), (one) => one.id], ["what", (one) => one.what], ["reason", (one) => one.reason], ["when (UTC)", (one) => moment(one.at), (one) => one.at],
    ["to retry", (one) => make("code", {}, one.command), false]], found.rows, sorted))];
}

export function deadLetter(found) {
  const long = ["payload", "traceback", "args"];
  return [section("Dead letter", facts("Dead letter", Object.entries(found).map(([name, value]) => [name, long.includes(name) ? raw(value ?? "") : value])), giveOrder("Retry", `Retry ${found.name}?`, { order: "retry-dead-letter", letter: found.name }))];
}
