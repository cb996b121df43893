// SPDX-License-Identifier: Apache-2.0
// The text of /metrics as values, and what is computed of them. Nothing here knows the page.

const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

// { series: text up to the value, name, labels, value } of every line, by family.
export class Metrics {
  constructor(text) {
    this.families = new Map();
    for (const line of text.split("\n")) {
      if (line === "" || line[0] === "#") continue;
      const space = line.lastIndexOf(" ");
      const series = line.slice(0, space);
      const brace = series.indexOf("{");
      const name = brace < 0 ? series : series.slice(0, brace);
      const labels = {};
      if (brace >= 0) {
        for (const [, key, value] of series.slice(brace).matchAll(LABEL)) {
          labels[key] = value.replace(/\\[n"\\]/g, (escape) => ESCAPES[escape]);
        }
      }
      if (!this.families.has(name)) this.families.set(name, []);
      this.families.get(name).push({ series, labels, value: Number(line.slice(space + 1)) });
    }
  }

  samples(name) {
    return this.families.get(name) ?? [];
  }

  // The samples of one family by their label `endpoint`.
  byEndpoint(name) {
    return new Map(this.samples(name).map((sample) => [sample.labels.endpoint, sample]));
  }

  // Over all samples whose labels have one of the values given: { outcome: ["a", "b"] }.
  sum(name, where = {}) {
    let total = 0;
    for (const { labels, value } of this.samples(name)) {
      if (Object.entries(where).every(([key, among]) => among.includes(labels[key]))) {
        total += value;
      }
    }
    return total;
  }

  // Cumulative counts by upper bound, ascending, +Inf last.
  buckets(name, where = {}) {
    const counts = new Map();
    for (const { labels, value } of this.samples(`${name}_bucket`)) {
      if (!Object.entries(where).every(([key, among]) => among.includes(labels[key]))) continue;
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + value);
    }
    return [...counts].sort((a, b) => a[0] - b[0]);
  }
}

// What came between two buckets() of one histogram.
export function difference(now, before) {
  const old = new Map(before);
  return now.map(([bound, count]) => [bound, count - (old.get(bound) ?? 0)]);
}

// As Prometheus' histogram_quantile: linear within a bucket; null without observations.
export function quantile(q, buckets) {
  const total = buckets.length === 0 ? 0 : buckets[buckets.length - 1][1];
  if (total <= 0) return null;
  const rank = q * total;
  const at = buckets.findIndex(([, count]) => count >= rank);
  if (at === buckets.length - 1) return at > 0 ? buckets[at - 1][0] : null;
  const low = at > 0 ? buckets[at - 1][0] : 0;
  const below = at > 0 ? buckets[at - 1][1] : 0;
  const [high, count] = buckets[at];
  return count === below ? high : low + (high - low) * ((rank - below) / (count - below));
}

// "1,234", "12.5"; `digits` behind the point.
export function format(value, digits = 0) {
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
}
