// Numbers and times formatted for people.
import { make } from "./dom.js";

const YEAR = 365.25 * 86400;
const SPANS = [["year", YEAR], ["month", YEAR / 12], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const LEAP_SECONDS = 18, GPS_EPOCH = 315964800; // s; the leap seconds hold for all times since 2017

const LARGE = [[1e12, "e12"], [1e9, " billion"], [1e6, " million"], [1, ""]];
function digits(value) {
  if (value < 10) return value.toPrecision(2);
  const [size, word] = LARGE.find(([least]) => value >= least);
  return Number((value / size).toPrecision(3)).toLocaleString("en") + word;
}

export function rate(hertz) {
  if (hertz === null || hertz === undefined) return "";
  if (!(hertz > 0)) return "never";
  const [unit, length] = SPANS.find(([, span]) => 1 / hertz >= span) || SPANS[SPANS.length - 1];
  const number = digits(1 / hertz / length);
  return number === "1" || number === "1.0" ? `1 per ${unit}` : `1 per ${number} ${unit}s`;
}
export const far = (hertz) => (hertz === null || hertz === undefined ? "" : make("span", { title: hertz.toExponential(2) + " Hz" }, rate(hertz)));
export const snr = (value) => (value === null || value === undefined ? "" : value.toFixed(1));
export const percent = (value) => (value > 0 && value < 0.01 ? "< 1 %" : `${Math.round(value * 100)} %`);

export function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (value < 10) return value.toFixed(2) + " s";
  if (value < 120) return Math.round(value) + " s";
  if (value < 7200) return Math.round(value / 60) + " min";
  return value < 172800 ? Math.round(value / 3600) + " h" : Math.round(value / 86400) + " days";
}

export const utc = (unix) => (unix ? new Date(unix * 1000).toISOString().replace("T", " ").slice(0, 19) : "");
// known: the GPS time, if known; otherwise it is computed, which is right for times since 2017
export function moment(unix, known) {
  if (!unix) return "";
  const gps = known === undefined ? (unix - GPS_EPOCH + LEAP_SECONDS).toFixed(1) : known;
  return make("time", { datetime: new Date(unix * 1000).toISOString(), title: `GPS ${gps}` }, utc(unix));
}
export const ago = (unix, now) => (unix ? make("time", { datetime: new Date(unix * 1000).toISOString(), title: utc(unix) + " UTC" }, seconds(Math.max(0, now - unix)) + " ago") : "");
