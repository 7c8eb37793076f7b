// Links to objects that have their own page.
import { link } from "./dom.js";

export const nameOf = (one) => one.superevent_id || one.key;
export const superevent = (one) => link(nameOf(one), "/superevent/" + encodeURIComponent(one.key));
export const job = (key) => link(key, "/job/" + encodeURIComponent(key));
export const picture = (key, name) => "/picture.png?" + new URLSearchParams({ subject: key, name });
