// One schedule's chart: a line a machine, a bar a task, drawn on the part of a canvas that is seen.
import { firstAbove } from "./arrange.js";
import { NOBODY, compared, view } from "./comparison.js";
import { colour, inNextFrame, line, printing, ratio, shortText, sized, ticks } from "./drawing.js";
import { element } from "./elements.js";
import { COLOURS } from "./kinds.js";
import { count, seconds } from "./words.js";

const AXIS = 24, THIN = 3, THICK = 34, ALL_ROWS = 420, TALL = 24; // px
const NAMED = 15; // px of a row from which bars have names
const MOST_LINES = 2000, SHADES = 4;

export const charts = [];

export function makeChart(panel, host) {
  const { answer, label, machines } = panel, n = answer.tasks.length;
  const box = element("section", "", host, { class: "chart" });
  const title = element("h3", label, box);
  element("span", seconds(answer.makespan), title);
  const axis = element("canvas", "", box, { class: "axis", "aria-hidden": "true" });
  const rows = element("div", "", box, { class: "rows" });
  const space = element("div", "", rows), stick = element("div", "", space, { class: "stick" });
  const base = element("canvas", "", stick, { class: "base", "aria-hidden": "true" });
  const about = `${label}: ${count(n, "task")} on ${count(machines.length, "machine")}, makespan ${seconds(answer.makespan)}`;
  const over = element("canvas", "", stick, {
    class: "over", tabindex: "0", role: "application", "aria-label": about, "aria-describedby": "keys",
  });
  const chart = {
    panel, box, rows, space, stick, width: 0, height: 0, gutter: 0, row: THICK,
    axis: axis.getContext("2d"), base: base.getContext("2d", { alpha: false }), over: over.getContext("2d"),
  };
  rows.addEventListener("scroll", () => {
    for (const other of charts)
      if (other.rows.scrollTop !== rows.scrollTop) other.rows.scrollTop = rows.scrollTop;
    inNextFrame(drawAll);
  });
  charts.push(chart);
  return chart;
}
export function rowHeight() {
  if (view.tall && !printing()) return TALL;
  return Math.min(THICK, Math.max(THIN, Math.floor(ALL_ROWS / compared.machines.length)));
}
export const canBeTall = () => ALL_ROWS / compared.machines.length < TALL;

export function resizeAll() { // reads all sizes before it draws anything
  for (const chart of charts) {
    chart.row = rowHeight();
    chart.space.style.height = `${chart.row * compared.machines.length}px`;
  }
  for (const chart of charts) {
    chart.width = chart.rows.clientWidth;
    chart.height = Math.min(chart.rows.clientHeight, chart.row * compared.machines.length);
  }
  for (const chart of charts) {
    chart.stick.style.height = `${chart.height}px`;
    sized(chart.axis, chart.width, AXIS);
    sized(chart.base, chart.width, chart.height);
    sized(chart.over, chart.width, chart.height);
    const longest = compared.machines.reduce((a, b) => (b.length > a.length ? b : a), "");
    const wide = chart.base.measureText(longest.slice(0, 40)).width + 18;
    chart.gutter = Math.min(130, chart.width / 4, wide);
  }
  drawAll();
}
// Whether a chart has another size than it was drawn for.
export const outgrown = () => charts.some(({ rows, width, height, row }) =>
  rows.clientWidth !== width || Math.min(rows.clientHeight, row * compared.machines.length) !== height);
export function drawAll() {
  for (const chart of charts) draw(chart);
  drawPicked();
}
export function drawPicked() {
  for (const chart of charts) drawOver(chart);
}

const scaleOf = (chart) => (chart.width - chart.gutter) / (view.to - view.from); // px/s
export const xOf = (chart, time) => chart.gutter + (time - view.from) * scaleOf(chart);
export const timeAt = (chart, x) => view.from + (x - chart.gutter) / scaleOf(chart);
export const yOf = (chart, row) => row * chart.row - chart.rows.scrollTop;
export const rowAt = (chart, y) => Math.floor((y + chart.rows.scrollTop) / chart.row);
export const middleOf = (chart, i) => { // of a task's bar
  const { row, start, finish } = chart.panel;
  return [xOf(chart, (start[i] + finish[i]) / 2), yOf(chart, row[i]) + chart.row / 2];
};
const thickness = (chart) => chart.row - (chart.row > 5 ? 2 : chart.row > 3 ? 1 : 0);
const snap = (length) => Math.round(length * ratio()) / ratio();

function draw(chart) {
  const { base, width, height, gutter, row } = chart;
  base.fillStyle = colour.card;
  base.fillRect(0, 0, width, height);
  const p = compared.machines.length;
  const first = Math.max(0, rowAt(chart, 0)), last = Math.min(p, rowAt(chart, height) + 1);
  base.fillStyle = colour.row;
  for (let r = first; r < last; r++) base.fillRect(gutter, yOf(chart, r), width - gutter, thickness(chart));
  drawGrid(chart);
  const every = Math.max(1, Math.ceil(13 / row));
  base.fillStyle = colour.soft;
  for (let r = Math.ceil(first / every) * every; r < last; r += every)
    shortText(base, compared.machines[r], 8, yOf(chart, r) + Math.max(row, 12) / 2, gutter - 14);
  base.save();
  base.beginPath();
  base.rect(gutter, 0, width - gutter, height);
  base.clip();
  const names = [];
  for (let r = first; r < last; r++) drawRow(chart, r, names);
  base.globalAlpha = 1;
  for (const [text, ink, x, y, room] of names) {
    base.fillStyle = ink;
    shortText(base, text, x, y, room);
  }
  drawEnds(chart);
  base.restore();
}
function drawRow(chart, r, names) {
  const { base, width, gutter } = chart, { rowPtr, startAt, finishAt, taskAt } = chart.panel;
  const scale = scaleOf(chart), y = yOf(chart, r), thick = thickness(chart), end = rowPtr[r + 1];
  let place = firstAbove(finishAt, view.from - 1 / scale, rowPtr[r], end);
  let run = { from: 0, to: 0 }; // of columns that look the same: the fewer boxes, the faster
  const show = ({ from, to, fill, shade }) => {
    if (from === to) return;
    base.fillStyle = fill;
    base.globalAlpha = 0.3 + 0.7 * shade;
    base.fillRect(from, y, to - from, thick);
  };
  while (place < end && startAt[place] <= view.to) {
    const x = xOf(chart, startAt[place]), wide = (finishAt[place] - startAt[place]) * scale;
    const i = taskAt[place], [fill, ink] = COLOURS[compared.kind[i]];
    if (wide >= 1) {
      base.fillStyle = fill;
      const from = snap(Math.max(x, gutter - 2)), to = snap(Math.min(x + wide, width + 2));
      base.globalAlpha = 1;
      base.fillRect(from, y, Math.max(1, to - from - (wide > 4 ? 1 : 0)), thick);
      const room = to - Math.max(from, gutter) - 8;
      if (chart.row >= NAMED && room >= 18)
        names.push([compared.tasks[i], ink, Math.max(from, gutter) + 4, y + thick / 2, room]);
      place++;
      continue;
    }
    // Shorter than a pixel: all that starts in this one becomes a column, shaded by how busy it is.
    const column = Math.floor(x);
    let busy = 0;
    do {
      busy += (finishAt[place] - startAt[place]) * scale;
      place++;
    } while (place < end && (finishAt[place] - startAt[place]) * scale < 1
      && Math.floor(xOf(chart, startAt[place])) === column);
    const shade = Math.ceil(Math.min(1, busy) * SHADES) / SHADES;
    if (run.to !== column || run.fill !== fill || run.shade !== shade) {
      show(run);
      run = { from: column, fill, shade };
    }
    run.to = column + 1;
  }
  show(run);
}
function drawGrid(chart) {
  const { axis, base, width, height, gutter } = chart;
  axis.fillStyle = colour.card;
  axis.fillRect(0, 0, width, AXIS);
  base.fillStyle = axis.strokeStyle = colour.line;
  axis.fillStyle = colour.soft;
  for (const [time, text] of ticks(view.from, view.to, width - gutter)) {
    const x = Math.round(xOf(chart, time));
    base.fillRect(x, 0, 1, height);
    line(axis, x + 0.5, AXIS - 5, x + 0.5, AXIS);
    if (x + 4 + axis.measureText(text).width < width) axis.fillText(text, x + 4, AXIS / 2);
  }
}
function drawEnds(chart) {
  const { base, height, panel } = chart;
  const at = (time) => Math.round(xOf(chart, time)) + 0.5;
  base.lineWidth = 1.5;
  base.strokeStyle = colour.soft;
  base.setLineDash([5, 4]);
  line(base, at(panel.answer.lower_bound), 0, at(panel.answer.lower_bound), height);
  base.setLineDash([]);
  base.strokeStyle = colour.text;
  line(base, at(panel.answer.makespan), 0, at(panel.answer.makespan), height);
}

function drawOver(chart) {
  const { over, width, height, gutter } = chart, { picked } = compared;
  over.clearRect(0, 0, width, height);
  if (picked === NOBODY) return;
  over.save();
  over.beginPath();
  over.rect(gutter, 0, width - gutter, height);
  over.clip();
  over.globalAlpha = 0.72;
  over.fillStyle = colour.card;
  over.fillRect(0, 0, width, height);
  over.globalAlpha = 1;
  over.lineWidth = 1.5;
  mark(chart, compared.parentsOf(picked), colour.parent, (i) => [i, picked]);
  over.setLineDash([4, 3]);
  mark(chart, compared.childrenOf(picked), colour.child, (i) => [picked, i]);
  over.setLineDash([]);
  bar(chart, picked, colour.text);
  over.restore();
}
function mark(chart, tasks, tint, ends) {
  const { over, panel } = chart;
  for (const i of tasks) bar(chart, i, tint);
  if (tasks.length > MOST_LINES) return;
  over.strokeStyle = tint;
  for (const i of tasks) {
    const [parent, child] = ends(i);
    const y = (j) => yOf(chart, panel.row[j]) + chart.row / 2;
    line(over, xOf(chart, panel.finish[parent]), y(parent), xOf(chart, panel.start[child]), y(child));
  }
}
function bar(chart, i, tint) {
  const { over, panel, width, gutter, row } = chart;
  const x = Math.max(xOf(chart, panel.start[i]), gutter - 4), to = Math.min(xOf(chart, panel.finish[i]), width + 4);
  const thick = Math.max(4, thickness(chart)), y = yOf(chart, panel.row[i]) + (thickness(chart) - thick) / 2;
  over.fillStyle = tint;
  over.fillRect(x, y, Math.max(3, to - x - 1), thick);
  if (row < NAMED || to - x < 26) return;
  over.fillStyle = colour.card;
  shortText(over, compared.tasks[i], Math.max(x, gutter) + 4, y + thick / 2, to - Math.max(x, gutter) - 8);
}
