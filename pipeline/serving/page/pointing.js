// Pointing at a task with the pointer or the keys: its card, and its relatives in every chart.
import { taskNear } from "./arrange.js";
import { charts, drawAll, drawPicked, middleOf, rowAt, timeAt, yOf } from "./chart.js";
import { NOBODY, compared, fit, include, pan, view, zoom } from "./comparison.js";
import { inNextFrame } from "./drawing.js";
import { $, element } from "./elements.js";
import { count, moment, seconds } from "./words.js";

const NEAR = 4; // px
const MOST_NAMED = 4;
let kept = false; // by a click: the card stays when the pointer leaves
let size = [0, 0]; // of the card; measured once for each task

export function pick(i, chart = null, at = null) {
  const changed = i !== compared.picked;
  compared.picked = i;
  const card = $("card");
  card.hidden = i === NOBODY;
  if (i === NOBODY) kept = false;
  else if (changed || card.chart !== chart) {
    fillCard(card, i, chart);
    card.chart = chart;
    size = [card.offsetWidth, card.offsetHeight];
  }
  if (i !== NOBODY) placeCard(card, chart, at ?? middleOf(chart, i));
  if (changed) inNextFrame(drawPicked);
}
function fillCard(card, i, chart) {
  card.replaceChildren();
  element("h4", compared.tasks[i], card);
  for (const panel of compared.panels) {
    const text = `${panel.label}: ${where(panel, i)}, ${moment(panel.start[i])} to ${moment(panel.finish[i])}`;
    const line = element("p", text, card);
    line.classList.toggle("here", panel === chart.panel && compared.panels.length > 1);
  }
  const { start, finish } = chart.panel;
  element("p", `takes ${seconds(finish[i] - start[i])}`, card);
  relativesLine("Parents", compared.parentsOf(i), card, "parents");
  relativesLine("Children", compared.childrenOf(i), card, "children");
}
const where = (panel, i) => panel.machines[panel.row[i]];
function relativesLine(title, tasks, card, kind) {
  const named = [...tasks.slice(0, MOST_NAMED)].map((i) => compared.tasks[i]).join(", ");
  const more = tasks.length > MOST_NAMED ? ` and ${(tasks.length - MOST_NAMED).toLocaleString("en")} more` : "";
  element("p", `${title}: ${named || "none"}${more}`, card, { class: kind });
}
function placeCard(card, chart, [x, y]) {
  const box = chart.stick.getBoundingClientRect(), [wide, high] = size;
  const beside = (at, length, whole) => {
    const after = at + 16 + length <= whole - 8 ? at + 16 : at - 16 - length;
    return Math.max(8, Math.min(after, whole - length - 8));
  };
  card.style.left = `${scrollX + beside(box.left + x, wide, document.documentElement.clientWidth)}px`;
  card.style.top = `${scrollY + beside(box.top + y, high, innerHeight)}px`;
}

export function repaint() {
  inNextFrame(drawAll);
  sayShown();
}
export function sayShown() {
  const all = view.from <= view.first && view.to >= view.last;
  $("shown").textContent = all ? "" : `${seconds(Math.max(view.from, 0), 4)} to ${seconds(view.to, 4)}`;
}
function taskUnder(chart, x, y) {
  const r = rowAt(chart, y);
  if (x < chart.gutter || r < 0 || r >= compared.machines.length) return NOBODY;
  const near = timeAt(chart, x + NEAR) - timeAt(chart, x);
  return taskNear(chart.panel, r, timeAt(chart, x), near);
}
// Goes to a task as the keys do: into sight, with its card, and read aloud.
export function go(chart, i) {
  if (!(i >= 0)) return;
  const { panel, rows } = chart, high = rows.clientHeight;
  include(panel.start[i], panel.finish[i]);
  const y = yOf(chart, panel.row[i]);
  if (y < 0) rows.scrollTop += y - chart.row;
  else if (y + chart.row > high) rows.scrollTop += y + 2 * chart.row - high;
  kept = true;
  pick(i, chart);
  repaint();
  const [parents, children] = [compared.parentsOf(i).length, compared.childrenOf(i).length];
  $("said").textContent = `${compared.tasks[i]}, on ${where(panel, i)}, ${moment(panel.start[i])} to ` +
    `${moment(panel.finish[i])}, ${count(parents, "parent")}, ${count(children, "child", "children")}`;
}
function alongRow({ taskAt, placeOf, rowPtr, row }, i, by) {
  const place = placeOf[i] + by;
  return place >= rowPtr[row[i]] && place < rowPtr[row[i] + 1] ? taskAt[place] : i;
}
function otherRow(panel, i, by) { // the task there that is nearest in time
  const time = (panel.start[i] + panel.finish[i]) / 2;
  for (let r = panel.row[i] + by; r >= 0 && r < compared.machines.length; r += by) {
    const found = taskNear(panel, r, time, Infinity);
    if (found !== NOBODY) return found;
  }
  return i;
}
const keys = {
  ArrowLeft: ({ panel }, i) => alongRow(panel, i, -1),
  ArrowRight: ({ panel }, i) => alongRow(panel, i, 1),
  ArrowUp: ({ panel }, i) => otherRow(panel, i, -1),
  ArrowDown: ({ panel }, i) => otherRow(panel, i, 1),
  Home: ({ panel }, i) => panel.taskAt[panel.rowPtr[panel.row[i]]],
  End: ({ panel }, i) => panel.taskAt[panel.rowPtr[panel.row[i] + 1] - 1],
  p: (_, i) => compared.parentsOf(i)[0] ?? i,
  c: (_, i) => compared.childrenOf(i)[0] ?? i,
};
const views = { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: fit };

function pressed(chart, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key } = event, name = key.length === 1 ? key.toLowerCase() : key;
  if (name === "Escape") pick(NOBODY);
  else if (Object.hasOwn(views, name)) {
    views[name]();
    if (compared.picked !== NOBODY) include(chart.panel.start[compared.picked], chart.panel.finish[compared.picked]);
    repaint();
    if (compared.picked !== NOBODY) pick(compared.picked, chart);
  } else if (Object.hasOwn(keys, name)) {
    go(chart, compared.picked === NOBODY ? chart.panel.taskAt[0] : keys[name](chart, compared.picked));
  } else return;
  event.preventDefault();
}

export function listen(chart) {
  const { canvas } = chart.over;
  let grip = null, moved = 0; // x of a drag, px
  const at = (event) => [event.offsetX, event.offsetY];
  canvas.addEventListener("pointerdown", (event) => {
    grip = event.offsetX;
    moved = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (grip === null) {
      if (!kept) pick(taskUnder(chart, x, y), chart, [x, y]);
      return;
    }
    moved += Math.abs(x - grip);
    pan(timeAt(chart, grip) - timeAt(chart, x));
    grip = x;
    repaint();
  });
  canvas.addEventListener("pointerup", (event) => {
    grip = null;
    if (moved > 5) return;
    const [x, y] = at(event), i = taskUnder(chart, x, y);
    kept = i !== NOBODY;
    pick(i, chart, [x, y]);
  });
  canvas.addEventListener("pointercancel", () => { grip = null; });
  canvas.addEventListener("pointerleave", () => { if (!kept) pick(NOBODY); });
  canvas.addEventListener("keydown", (event) => pressed(chart, event));
  canvas.addEventListener("blur", () => pick(NOBODY));
  canvas.addEventListener("wheel", (event) => { // without Ctrl it scrolls the page
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 150), timeAt(chart, event.offsetX));
    repaint();
  }, { passive: false });
}
export function startPointing() {
  const change = (id, work) => {
    $(id).onclick = () => {
      work();
      repaint();
    };
  };
  change("in", () => zoom(1.5));
  change("out", () => zoom(1 / 1.5));
  change("fit", fit);
}
export const forgetCharts = () => {
  pick(NOBODY);
  charts.length = 0;
};
