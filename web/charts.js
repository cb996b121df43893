// SPDX-License-Identifier: Apache-2.0
// A line chart over the last minutes, as SVG with axes, units and words for those who do not see it.
import { format } from "/metrics.js";

const WIDTH = 420, HEIGHT = 190;
const LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 26;
export const SPAN_SECONDS = 300;
// A young page shows less, so that there is something to see.
const SPANS = [{ seconds: 60, step: 15 }, { seconds: 120, step: 30 },
               { seconds: SPAN_SECONDS, step: 60 }];
const TABLE_STEP_SECONDS = 30;
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// 1, 2 or 5 times a power of ten, so that about four steps reach `top`.
function niceStep(top) {
  const raw = top / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
}

export class Chart {
  // lines: [{ key, label }]; points: { t, [key]: number or null } in `unit`.
  constructor(host, { id, title, unit, lines, digits, nothing }) {
    Object.assign(this, { title, unit, lines, digits, nothing });
    const figure = element("figure", "chart");
    const caption = element("figcaption");
    caption.id = `${id}-title`;
    caption.append(element("h3", "", title));
    this.legend = element("ul", "legend");
    this.now = {};
    lines.forEach(({ key, label }, i) => {
      const item = element("li", `line-${i}`);
      this.now[key] = element("span", "figure", "–");
      this.now[key].id = `${id}-${key}`;
      item.append(element("span", "key"), `${label} `, this.now[key], ` ${unit}`);
      this.legend.append(item);
    });
    caption.append(this.legend);
    this.svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    const details = element("details");
    details.append(element("summary", "", "As a table"));
    this.table = element("table");
    this.table.append(element("caption", "hidden", `${title}, ${unit}`));
    details.append(this.table);
    this.details = details;
    details.addEventListener("toggle", () => this.drawTable());
    figure.append(caption, this.svg, details);
    host.append(figure);
    this.points = [];
  }

  draw(points, end) {
    this.points = points;
    this.end = end;
    const values = points.flatMap((point) => this.lines.map(({ key }) => point[key]))
      .filter((value) => value !== null);
    const highest = Math.max(...values, 1);
    const step = niceStep(highest);
    const top = step * Math.ceil((highest * 1.02) / step);
    const age = points.length > 0 ? end - points[0].t : 0;
    const span = SPANS.find(({ seconds }) => seconds >= age) ?? SPANS[SPANS.length - 1];
    const x = (t) => LEFT + (WIDTH - LEFT - RIGHT) * (1 - (end - t) / span.seconds);
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    const parts = [];
    const digits = step < 1 ? Math.min(3, Math.ceil(-Math.log10(step))) : 0;
    for (let value = 0; value <= top * 1.0001; value += step) {
      parts.push(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value),
                                 y2: y(value) }));
      parts.push(shape("text", { class: "tick", x: LEFT - 6, y: y(value) + 4,
                                 "text-anchor": "end" }, format(value, digits)));
    }
    for (let ago = span.seconds; ago >= 0; ago -= span.step) {
      const at = x(end - ago);
      parts.push(shape("line", { class: "mark", x1: at, x2: at, y1: HEIGHT - BOTTOM,
                                 y2: HEIGHT - BOTTOM + 4 }));
      parts.push(shape("text", { class: "tick", x: at, y: HEIGHT - 8, "text-anchor":
                                 ago === 0 ? "end" : "middle" }, this.ago(ago, span)));
    }
    this.lines.forEach(({ key }, i) => parts.push(...this.line(points, key, i, x, y)));
    if (values.length === 0) {
      parts.push(shape("text", { class: "nothing", x: (LEFT + WIDTH - RIGHT) / 2,
                                 y: (TOP + HEIGHT - BOTTOM) / 2, "text-anchor": "middle" },
                       this.nothing));
    }
    this.svg.replaceChildren(...parts);
    this.svg.setAttribute("aria-label", this.words(points));
    if (this.details.open) this.drawTable();
  }

  ago(seconds, span) {
    if (seconds === 0) return "now";
    return span.step < 60 ? `−${seconds} s` : `−${seconds / 60} min`;
  }

  line(points, key, i, x, y) {
    const parts = [];
    let run = [];
    const flush = () => {
      if (run.length === 1) {
        parts.push(shape("circle", { class: `dot line-${i}`, cx: run[0][0], cy: run[0][1], r: 2 }));
      } else if (run.length > 1) {
        parts.push(shape("polyline", { class: `path line-${i}`,
                                       points: run.map((at) => at.join(",")).join(" ") }));
      }
      run = [];
    };
    for (const point of points) {
      if (point[key] === null) flush();
      else run.push([x(point.t).toFixed(1), y(point[key]).toFixed(1)]);
    }
    flush();
    return parts;
  }

  words(points) {
    const said = this.lines.map(({ key, label }) => {
      const values = points.map((point) => point[key]).filter((value) => value !== null);
      if (values.length === 0) return `${label}: nothing`;
      const last = points[points.length - 1][key];
      return `${label}: now ${last === null ? "nothing" : format(last, this.digits)}, ` +
        `highest ${format(Math.max(...values), this.digits)}`;
    });
    return `${this.title} over the last minutes, in ${this.unit}. ${said.join("; ")}.`;
  }

  drawTable() {
    if (!this.details.open) return;
    const head = element("tr");
    head.append(element("th", "", "Seconds ago"));
    for (const { label } of this.lines) head.append(element("th", "", label));
    const rows = [];
    for (let ago = 0; ago <= SPAN_SECONDS; ago += TABLE_STEP_SECONDS) {
      const point = this.points.findLast(({ t }) => t <= this.end - ago);
      if (!point) break;
      const row = element("tr");
      row.append(element("td", "", format(ago)));
      for (const { key } of this.lines) {
        row.append(element("td", "", point[key] === null ? "–" : format(point[key], this.digits)));
      }
      rows.push(row);
    }
    const head_group = element("thead"), body = element("tbody");
    head_group.append(head);
    body.append(...rows);
    for (const cell of head.children) cell.scope = "col";
    this.table.replaceChildren(this.table.caption, head_group, body);
  }
}
