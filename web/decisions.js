// SPDX-License-Identifier: Apache-2.0
// The last decisions: one line each with the chosen endpoint's terms, and the whole table inside.
import { clock, element, setText } from "/dom.js";
import { format } from "/metrics.js";

const SAW = [
  ["waiting", "queue"], ["running", "running"], ["kv_usage", "KV use"],
  ["inflight_requests", "in flight"], ["inflight_tokens", "prefill ahead"],
  ["unstarted", "unstarted"], ["cached_tokens", "cached"],
  ["own_uncached_tokens", "own uncached"], ["cold_order", "cold order"],
];

const drawn = new Map();  // By what tells decisions apart.

const digits = (value) => (Number.isInteger(value) ? 0 : Math.abs(value) < 10 ? 3 : 1);
const figure = (value) => format(value, digits(value));
const short = (name) => name.replace(/-scorer$/, "").replace(/-cost$/, "");

function cell(name, text, className) {
  const node = element(name, className, text);
  if (name === "th") node.scope = "col";
  return node;
}

// "externality 1,024 + cold-placement 3,000 = 4,024; next best 5,120"
function sumOf(decision) {
  const [first, second] = decision.rows;
  if (!first || first.total === undefined || decision.terms.length === 0) return "";
  const terms = decision.terms.map(({ name }, i) => `${short(name)} ${figure(first.terms[i])}`);
  const next = second && second.total !== undefined ? `; next ${figure(second.total)}` : "";
  const total = terms.length > 1 ? ` = ${figure(first.total)}` : "";
  return terms.join(" + ") + total + next;
}

function tableOf(decision) {
  const seen = SAW.filter(([key]) => decision.rows.some(({ saw }) => saw[key] !== 0));
  const table = element("table");
  const head = element("tr");
  head.append(cell("th", "Endpoint"));
  for (const { name, weight } of decision.terms) {
    head.append(cell("th", weight === 1 ? short(name) : `${short(name)} ×${figure(weight)}`, "term"));
  }
  head.append(cell("th", decision.lower_wins ? "Total (lowest wins)" : "Total (highest wins)",
                   "term total"));
  for (const [, title] of seen) head.append(cell("th", title));
  const headGroup = element("thead"), body = element("tbody");
  headGroup.append(head);
  for (const row of decision.rows) {
    const line = element("tr", row.chosen ? "chosen" : "");
    const name = cell("th", row.endpoint);
    name.scope = "row";
    if (row.chosen) name.append(" ", element("span", "mark", "chosen"));
    line.append(name);
    if (row.total !== undefined) {
      for (const term of row.terms) line.append(cell("td", figure(term), "term"));
      line.append(cell("td", figure(row.total), "term total"));
    } else {
      const why = cell("td", row.removed_by ? `removed by ${row.removed_by}` : "–", "removed");
      why.colSpan = decision.terms.length + 1;
      line.append(why);
    }
    for (const [key] of seen) line.append(cell("td", figure(row.saw[key])));
    body.append(line);
  }
  table.append(headGroup, body);
  return table;
}

function detailsOf(decision) {
  const box = element("div", "inside");
  const facts = [`request ${decision.request_id}`, `model ${decision.model}`,
                 `policy ${decision.policy || "replaced since"}`,
                 `prompt about ${format(decision.prompt_tokens)} tokens, ` +
                   `${format(decision.expected_cached_tokens)} expected in the cache`];
  box.append(element("p", "facts", facts.join(" · ")));
  if (decision.doubt) box.append(element("p", "doubt", `Note: ${decision.doubt}.`));
  if (decision.rows.length > 0) {
    const scroll = element("div", "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Terms of the decision");
    scroll.append(tableOf(decision));
    box.append(scroll);
  }
  if (decision.rows_left_out > 0) {
    box.append(element("p", "note", `and ${format(decision.rows_left_out)} more endpoints: ` +
                                    "ask fairlead explain"));
  }
  if (decision.absent.length > 0) {
    const list = decision.absent.map(({ endpoint, why }) => `${endpoint} ${why}`);
    if (decision.absent_left_out > 0) list.push(`${format(decision.absent_left_out)} more`);
    box.append(element("p", "absent", `Not asked: ${list.join("; ")}.`));
  }
  return box;
}

function make(decision) {
  const node = element("details", decision.chosen === null ? "decision refused" : "decision");
  const summary = element("summary");
  summary.append(element("time", "", clock(decision.time)), " ",
                 element("code", "id", decision.request_id), " ");
  if (decision.chosen === null) {
    summary.append(element("strong", "bad", `to nobody: ${decision.reply}`));
  } else {
    summary.append("→ ", element("strong", "target", decision.chosen), " ",
                   element("span", `why ${decision.reason}`, decision.reason.replace("_", " ")));
  }
  if (decision.attempt > 1) summary.append(" ", element("span", "why", `try ${decision.attempt}`));
  summary.append(" ", element("span", "sum", sumOf(decision)));
  node.append(summary);
  // The table is made when somebody looks.
  node.addEventListener("toggle", () => {
    if (node.open && node.children.length === 1) node.append(detailsOf(decision));
  });
  return node;
}

export function drawDecisions(decisions) {
  const host = document.getElementById("decisions");
  const note = document.getElementById("decisions-note");
  // Nothing moves under the eyes of somebody who reads.
  if (host.querySelector("details[open]") !== null) {
    return setText(note, "held while one is open");
  }
  const named = decisions.map((one) => (
    { one, key: `${one.request_id} ${one.worker} ${one.number}` }));
  const kept = new Set(named.map(({ key }) => key));
  for (const [key, node] of drawn) {
    if (kept.has(key)) continue;
    node.remove();
    drawn.delete(key);
  }
  for (const { one, key } of named.reverse()) {
    if (drawn.has(key)) continue;
    const node = make(one);
    drawn.set(key, node);
    host.prepend(node);
  }
  document.getElementById("decisions-empty").hidden = drawn.size > 0;
  setText(note, drawn.size > 0 ? "open one for the score of every endpoint" : "");
}
