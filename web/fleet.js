// SPDX-License-Identifier: Apache-2.0
// The fleet table: a row an endpoint, kept by name, so that focus and selection live on.
import { element, setFigure, setText } from "/dom.js";

const ROWS_MAX = 100;
const FILTER_FROM = 12;  // A fleet that one sees at a glance needs no filter.

// Title, its unit, what is shown, the metrics it is of.
const COLUMNS = [
  { title: "In flight", unit: "requests", of: "fairlead_endpoint_inflight_requests" },
  { title: "Prefill ahead", unit: "tokens", of: "fairlead_endpoint_inflight_uncached_tokens" },
  { title: "Running", unit: "requests", of: "fairlead_endpoint_running" },
  { title: "Queue", unit: "requests", of: "fairlead_endpoint_waiting" },
  { title: "KV use", unit: "%", of: "fairlead_endpoint_kv_usage", scale: 100, digits: 1, bar: true },
  {
    title: "Hits expected", unit: "%", scale: 100, digits: 1,
    of: "fairlead_endpoint_expected_cached_tokens_total",
    over: "fairlead_endpoint_prompt_tokens_total",
  },
  {
    title: "Hits reported", unit: "%", scale: 100, digits: 1,
    of: "fairlead_endpoint_reported_cached_tokens_total",
    over: "fairlead_endpoint_reported_prompt_tokens_total",
  },
  { title: "Output", unit: "tokens/s", rate: true, digits: 1,
    of: "fairlead_endpoint_reported_output_tokens_total" },
  { title: "Decisions", unit: "total", of: "fairlead_endpoint_decisions_total" },
  { title: "Failures", unit: "total", of: "fairlead_endpoint_failures_total", alarm: true },
  { title: "Ejections", unit: "total", of: "fairlead_ejections_total", alarm: true },
];

const rows = new Map();  // By the endpoint's name.

function drawHead() {
  const head = document.getElementById("fleet-head");
  if (head.children.length > 0) return;
  for (const { title, unit } of [{ title: "Endpoint" }, { title: "Health" }, ...COLUMNS]) {
    const cell = element("th", "", title);
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    if (unit) cell.append(" ", element("span", "unit", unit));
    head.append(cell);
  }
}

function makeRow(name) {
  const row = element("tr");
  row.setAttribute("role", "row");
  const endpoint = element("th", "name");
  endpoint.scope = "row";
  endpoint.setAttribute("role", "rowheader");
  const address = element("span", "address");
  const models = element("span", "models");
  endpoint.append(element("span", "label", name), address, models);
  const health = element("td", "health");
  const badge = element("span", "badge"), share = element("span", "share");
  const trouble = element("span", "trouble");
  health.append(badge, share, trouble);
  row.append(endpoint, health);
  const cells = COLUMNS.map(({ title, unit, bar }) => {
    const cell = element("td", "number");
    cell.dataset.label = `${title}, ${unit}`;
    const figure = element("span", "figure", "–");
    cell.append(figure);
    let level = null;
    if (bar) {
      level = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      level.setAttribute("viewBox", "0 0 100 6");
      level.setAttribute("preserveAspectRatio", "none");
      level.setAttribute("aria-hidden", "true");
      level.setAttribute("class", "bar");
      for (const part of ["back", "level"]) {
        const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        box.setAttribute("class", part);
        box.setAttribute("height", "6");
        box.setAttribute("width", part === "back" ? "100" : "0");
        level.append(box);
      }
      cell.append(level);
    }
    row.append(cell);
    return { cell, figure, level };
  });
  health.dataset.label = "Health";
  for (const cell of row.querySelectorAll("td")) cell.setAttribute("role", "cell");
  return { row, address, models, badge, share, trouble, cells };
}

// What a column shows of one endpoint, or null when /metrics does not have it.
function read(column, name, families, { now, before }) {
  const sample = families.get(column.of).get(name);
  if (!sample) return null;
  const { scale, digits } = column;
  if (column.over) {
    const whole = families.get(column.over).get(name);
    if (!whole) return null;
    return {
      value: whole.value > 0 ? sample.value / whole.value : null, scale, digits,
      source: `ratio:${sample.series} / ${whole.series}`,
    };
  }
  if (column.rate) {
    const then = before.output.get(name);
    const seconds = now.t - before.t;
    const known = then !== undefined && seconds > 0 && sample.value >= then.value;
    return {
      value: known ? (sample.value - then.value) / seconds : null, scale, digits,
      source: `rate:series:${sample.series}`,
      from: [then ? then.value : sample.value, before.t], to: [sample.value, now.t],
    };
  }
  return { value: sample.value, scale, digits, source: `series:${sample.series}` };
}

function drawRow(parts, endpoint, families, moment) {
  setText(parts.address, endpoint.address === endpoint.name ? "" : endpoint.address);
  setText(parts.models, endpoint.models.join(", "));
  setText(parts.badge, endpoint.health);
  parts.badge.className = `badge ${endpoint.health}`;
  const up = families.get("fairlead_endpoint_up").get(endpoint.name);
  if (endpoint.health === "returning" && up) {
    if (parts.share.children.length === 0) {
      parts.share.append(" takes ", element("span", "figure"), " %");
    }
    setFigure(parts.share.querySelector(".figure"),
              { value: up.value, scale: 100, source: `series:${up.series}` });
  } else {
    parts.share.replaceChildren();
  }
  setText(parts.trouble, endpoint.trouble);
  COLUMNS.forEach((column, i) => {
    const figure = read(column, endpoint.name, families, moment);
    const { cell, figure: node, level } = parts.cells[i];
    if (figure === null) return;
    setFigure(node, figure);
    cell.classList.toggle("alarm", column.alarm === true && figure.value > 0);
    cell.classList.toggle("nil", !figure.value);
    if (level) {
      level.lastChild.setAttribute("width", String(Math.min(100, 100 * (figure.value ?? 0))));
      level.classList.toggle("high", figure.value > 0.9);
    }
  });
}

export function drawFleet(endpoints, metrics, moment) {
  drawHead();
  const names = new Set(COLUMNS.flatMap(({ of, over }) => (over ? [of, over] : [of])));
  names.add("fairlead_endpoint_up");
  const families = new Map([...names].map((name) => [name, metrics.byEndpoint(name)]));
  const label = document.getElementById("filter-label");
  label.hidden = endpoints.length <= FILTER_FROM;
  const wanted = label.hidden ? "" : document.getElementById("filter").value.toLowerCase();
  const matching = endpoints.filter(({ name }) => name.toLowerCase().includes(wanted));
  const shown = matching.slice(0, ROWS_MAX);
  const kept = new Set(shown.map(({ name }) => name));
  for (const [name, parts] of rows) {
    if (kept.has(name)) continue;
    parts.row.remove();
    rows.delete(name);
  }
  const body = document.getElementById("fleet-body");
  shown.forEach((endpoint, i) => {
    if (!rows.has(endpoint.name)) rows.set(endpoint.name, makeRow(endpoint.name));
    const parts = rows.get(endpoint.name);
    if (body.children[i] !== parts.row) body.insertBefore(parts.row, body.children[i] ?? null);
    drawRow(parts, endpoint, families, moment);
  });
  const serving = endpoints.filter(({ health }) => health === "healthy" || health === "returning");
  setText(document.getElementById("fleet-note"), endpoints.length === 0 ? "" :
    `${serving.length} of ${endpoints.length} take traffic` +
    (shown.length < endpoints.length ? `; ${shown.length} shown` : ""));
  document.title = `Fairlead, ${serving.length} of ${endpoints.length} up`;
  document.getElementById("fleet-empty").hidden = endpoints.length > 0;
  document.getElementById("fleet-table").hidden = endpoints.length === 0;
}
