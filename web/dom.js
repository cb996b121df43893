// SPDX-License-Identifier: Apache-2.0
// What every part of the page does with the document.
import { format } from "/metrics.js";

export function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// Leaves the node alone where nothing changed, so that selections live on.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A figure and where it is from. `value` is in the unit of /metrics, or null: nothing to tell;
// shown is value * scale with `digits` behind the point. `from` and `to` are what a rate or a
// quantile was computed of.
export function setFigure(node, { value, source, scale = 1, digits = 0, from, to }) {
  setText(node, value === null ? "–" : format(value * scale, digits));
  const data = node.dataset;
  data.source = source;
  data.scale = String(scale);
  data.value = value === null ? "" : String(value);
  if (from !== undefined) data.from = from.join(" ");
  if (to !== undefined) data.to = to.join(" ");
}

const two = (number) => String(number).padStart(2, "0");

// "14:03:59", in the time of whoever looks.
export function clock(unixSeconds) {
  const date = new Date(unixSeconds * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
