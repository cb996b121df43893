// SPDX-License-Identifier: Apache-2.0
// The live page: asks for /debug/state about once a second while it is seen, and draws it. All text
// is set as text, never as markup, because names come from outside. Every figure carries where in
// /metrics it is from (data-source), so that a test can compare them.
import { Chart, SPAN_SECONDS } from "/charts.js";
import { drawDecisions } from "/decisions.js";
import { drawFleet } from "/fleet.js";
import { difference, format, Metrics, quantile } from "/metrics.js";
import { clock, element, setFigure, setText } from "/dom.js";

const POLL_MS = 1000;
const TIMEOUT_MS = 5000;
const RATE_SECONDS = 10;
const QUANTILE_SECONDS = 30;
const TTFT = "fairlead_time_to_first_token_seconds";
const ITL = "fairlead_inter_token_seconds";
const FAILED = ["upstream_failed", "timed_out"];
const STREAMED = { stream: ["true"] };

const byId = (id) => document.getElementById(id);
const charts = {
  rate: new Chart(byId("charts"), {
    id: "rate", title: "Requests", unit: "per second", digits: 1, nothing: "no request yet",
    lines: [{ key: "rate", label: "ended" }],
  }),
  ttft: new Chart(byId("charts"), {
    id: "ttft", title: "Time to first token", unit: "ms", digits: 0,
    nothing: "no streamed answer in the last minutes",
    lines: [{ key: "p50", label: "median" }, { key: "p95", label: "p95" }],
  }),
  itl: new Chart(byId("charts"), {
    id: "itl", title: "Time between tokens", unit: "ms", digits: 1,
    nothing: "no streamed answer in the last minutes",
    lines: [{ key: "p50", label: "median" }, { key: "p95", label: "p95" }],
  }),
};

const samples = [];  // The last minutes, the oldest first.
let state = null;    // The newest answer.
let lastAnswer = null;
let paused = false;
let timer = null;

// The newest sample that is at least `seconds` old, else the oldest.
function sampleBefore(sample, seconds) {
  return samples.findLast(({ t }) => t <= sample.t - seconds) ?? samples[0];
}

function rate(now, before, read) {
  const seconds = now.t - before.t;
  return seconds > 0 ? Math.max(0, read(now) - read(before)) / seconds : null;
}

function take(answer) {
  const metrics = new Metrics(answer.metrics);
  const sample = {
    t: answer.time,
    requests: metrics.sum("fairlead_requests_total"),
    ttft: metrics.buckets(TTFT, STREAMED),
    itl: metrics.buckets(ITL),
    output: metrics.byEndpoint("fairlead_endpoint_reported_output_tokens_total"),
  };
  // The gateway started anew: its counters began at 0 again.
  const last = samples[samples.length - 1];
  if (last && (sample.requests < last.requests || sample.t < last.t)) samples.length = 0;
  samples.push(sample);
  while (samples[0].t < sample.t - SPAN_SECONDS) samples.shift();
  const before = sampleBefore(sample, RATE_SECONDS);
  sample.rate = rate(sample, before, ({ requests }) => requests);
  sample.rateFrom = before;
  const early = sampleBefore(sample, QUANTILE_SECONDS);
  sample.quantileFrom = early;
  for (const key of ["ttft", "itl"]) {
    const recent = difference(sample[key], early[key]);
    sample[`${key}_p50`] = quantile(0.5, recent);
    sample[`${key}_p95`] = quantile(0.95, recent);
  }
  return { metrics, sample };
}

function ms(value) {
  return value === null ? null : value * 1000;
}

function drawCharts(sample) {
  charts.rate.draw(samples.map(({ t, rate: value }) => ({ t, rate: value })), sample.t);
  for (const key of ["ttft", "itl"]) {
    const points = samples.map((one) => (
      { t: one.t, p50: ms(one[`${key}_p50`]), p95: ms(one[`${key}_p95`]) }));
    charts[key].draw(points, sample.t);
  }
  setFigure(charts.rate.now.rate, {
    value: sample.rate, digits: 1, source: "rate:sum:fairlead_requests_total",
    from: [sample.rateFrom.requests, sample.rateFrom.t], to: [sample.requests, sample.t],
  });
  for (const [key, name] of [["ttft", TTFT], ["itl", ITL]]) {
    const early = new Map(sample.quantileFrom[key]);
    for (const [q, part] of [["0.5", "p50"], ["0.95", "p95"]]) {
      setFigure(charts[key].now[part], {
        value: sample[`${key}_${part}`], scale: 1000, digits: key === "ttft" ? 0 : 1,
        source: `quantile:${q}:${name}${key === "ttft" ? "{stream=true}" : ""}`,
        from: sample[key].map(([bound]) => early.get(bound) ?? 0),
      });
    }
  }
}

const TILES = [
  ["In flight", "requests", ({ metrics }) => ({
    value: metrics.sum("fairlead_requests_in_flight"), source: "sum:fairlead_requests_in_flight",
  })],
  ["Ended", "requests", ({ metrics }) => ({
    value: metrics.sum("fairlead_requests_total"), source: "sum:fairlead_requests_total",
  })],
  ["Failed", "of them", ({ metrics }) => ({
    value: metrics.sum("fairlead_requests_total", { outcome: FAILED }),
    source: `sum:fairlead_requests_total{outcome=${FAILED.join("|")}}`, alarm: true,
  })],
  ["Tried again", "elsewhere", ({ metrics }) => ({
    value: metrics.sum("fairlead_retries_total"), source: "sum:fairlead_retries_total",
  })],
  ["Cache hits, expected", "%", ({ metrics }) => ratio(metrics,
    "fairlead_endpoint_expected_cached_tokens_total", "fairlead_endpoint_prompt_tokens_total")],
  ["Cache hits, reported", "%", ({ metrics }) => ratio(metrics,
    "fairlead_endpoint_reported_cached_tokens_total",
    "fairlead_endpoint_reported_prompt_tokens_total")],
];

function ratio(metrics, part, whole) {
  const total = metrics.sum(whole);
  return {
    value: total > 0 ? metrics.sum(part) / total : null, scale: 100, digits: 1,
    source: `ratio:${part} / ${whole}`,
  };
}

function drawTiles(context) {
  const host = byId("tiles");
  if (host.children.length === 0) {
    for (const [label, unit] of TILES) {
      const tile = element("div", "tile");
      const value = element("dd");
      value.append(element("span", "figure", "–"), element("span", "unit", ` ${unit}`));
      tile.append(element("dt", "", label), value);
      host.append(tile);
    }
  }
  TILES.forEach(([, , read], i) => {
    const figure = read(context);
    const tile = host.children[i];
    setFigure(tile.querySelector(".figure"), figure);
    tile.classList.toggle("alarm", figure.alarm === true && figure.value > 0);
  });
}

const events = new Map();  // By number.

function drawEvents(list) {
  const host = byId("events");
  const kept = new Set(list.map(({ number }) => number));
  for (const [number, node] of events) {
    if (kept.has(number)) continue;
    node.remove();
    events.delete(number);
  }
  for (const event of list) {
    if (events.has(event.number)) continue;
    const item = element("li", event.level);
    const time = element("time", "", clock(event.time));
    time.dateTime = new Date(event.time * 1000).toISOString();
    item.append(time, " ");
    if (event.level !== "info") item.append(element("strong", "level", event.level), " ");
    item.append(element("span", "text", event.text));
    host.prepend(item);
    events.set(event.number, item);
  }
  byId("events-empty").hidden = list.length > 0;
}

function drawMisconfigurations(list) {
  const host = byId("wrong-list");
  byId("wrong").hidden = list.length === 0;
  while (host.children.length > list.length) host.lastChild.remove();
  while (host.children.length < list.length) host.append(element("li"));
  list.forEach(({ endpoint, text }, i) => setText(host.children[i], `${endpoint}: ${text}`));
}

function drawStatus() {
  const waiting = state.not_ready;
  const text = paused ? "paused" : waiting === "" ? "serving" : `not ready: ${waiting}`;
  setText(byId("status"), text);
  byId("status").className = paused ? "paused" : waiting === "" ? "good" : "bad";
}

function draw(answer) {
  // After a restart events are numbered anew.
  if (state && answer.events.length > 0 && events.size > 0 &&
      answer.events[answer.events.length - 1].number < Math.max(...events.keys())) {
    drawEvents([]);
  }
  state = answer;
  const context = take(answer);
  setText(byId("policy"), answer.policy);
  drawStatus();
  drawTiles(context);
  const { sample, metrics } = context;
  drawFleet(answer.endpoints, metrics, { now: sample, before: sample.rateFrom });
  drawCharts(sample);
  drawDecisions(answer.decisions);
  drawEvents(answer.events);
  drawMisconfigurations(answer.misconfigurations);
  document.body.dataset.drawn = String(answer.time);
}

function showLost(message) {
  const lost = byId("lost");
  lost.hidden = message === "";
  setText(lost, message);
  document.body.classList.toggle("stale", message !== "");
  if (message !== "") {
    setText(byId("status"), "no answer");
    byId("status").className = "bad";
  }
}

async function poll() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  const started = performance.now();
  try {
    const reply = await fetch("/debug/state", {
      cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    const answer = await reply.json();
    lastAnswer = Date.now() / 1000;
    if (!paused) draw(answer);
    showLost("");
  } catch (error) {
    const since = lastAnswer === null ? "" : ` since ${clock(lastAnswer)}; the figures are from then`;
    showLost(`No answer from the gateway${since}.`);
    console.warn(`no state: ${error.message}`);
  }
  // A large fleet takes longer to tell: ask a tenth of the time at most.
  const took = performance.now() - started;
  timer = setTimeout(poll, Math.max(POLL_MS - took, 10 * took < POLL_MS ? 0 : 9 * took));
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (state) drawStatus();
  poll();
});
byId("filter").addEventListener("input", () => {
  const sample = samples[samples.length - 1];
  if (!state || !sample) return;
  drawFleet(state.endpoints, new Metrics(state.metrics), { now: sample, before: sample.rateFrom });
});
document.addEventListener("visibilitychange", poll);
poll();
