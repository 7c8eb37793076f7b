// Charts over time, drawn by uPlot, each with a text alternative for people who cannot see it.
import { keep, make } from "./dom.js";

const HEIGHT = 150;
// A canvas does not understand light-dark(), so the browser resolves the colour.
function colour(name) {
  const probe = make("span", {});
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
const clock = (unix, step) => new Date(unix * 1000).toISOString().slice(...(step >= 86400 ? [5, 10] : step >= 60 ? [11, 16] : [11, 19]));
const scheme = matchMedia("(prefers-color-scheme: dark)");
const all = [];

// lines: [[label, CSS colour, values]]; times in Unix seconds
export function chart(id, title, words, times, lines, unit, points) {
  const box = keep("chart-" + id, () => make("figure", { class: "chart" }, make("figcaption", {}, title), make("div", { role: "img" })));
  const canvas = box.lastChild;
  canvas.setAttribute("aria-label", `${title}: ${words}`);
  const data = [times, ...lines.map(([, , values]) => values)];
  if (box.drawn) { box.drawn.setData(data); return box; }
  box.draw = () => {
    if (!box.isConnected || !canvas.clientWidth) return;
    if (box.drawn) box.drawn.destroy();
    const axis = () => ({ stroke: colour("--pico-color"), grid: { stroke: colour("--edge"), width: 1 }, ticks: { stroke: colour("--edge") } });
    const options = {
      width: canvas.clientWidth, height: HEIGHT, tzDate: (unix) => uPlot.tzDate(new Date(unix * 1e3), "Etc/UTC"), cursor: { drag: { setScale: false } },
      scales: { x: { range: (_, least, most) => (most - least < 600 ? [least - 300, most + 300] : [least, most]) } },
      axes: [{ ...axis(), values: (_, ticks, __, ___, step) => ticks.map((unix) => clock(unix, step)) }, { ...axis(), size: 56, values: (_, ticks) => ticks.map((value) => `${value} ${unit}`.trim()) }],
      series: [{ value: (_, unix) => (unix === null ? "" : clock(unix, 1)) }, ...lines.map(([label, name]) => ({ label, stroke: colour(name), width: 2, points: { show: points, size: 6 }, paths: points ? () => null : undefined, value: (_, value) => (value === null ? "" : `${value.toPrecision(3)} ${unit}`.trim()) }))],
    };
    box.drawn = new uPlot(options, data, canvas);
  };
  all.push(box);
  new ResizeObserver(() => { if (!box.drawn) box.draw(); else if (canvas.clientWidth) box.drawn.setSize({ width: canvas.clientWidth, height: HEIGHT }); }).observe(canvas);
  return box;
}
scheme.addEventListener("change", () => { for (const box of all) box.draw(); });

export function sparkline(values, label) {
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
