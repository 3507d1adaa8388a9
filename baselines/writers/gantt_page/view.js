// Which part is shown. Lengths are in CSS pixels. All panels show the same span of time and the same
// rows, so that zooming and panning one does so with all.
const AXIS = 26, STRIP = several ? 26 : 0; // heights of the axis and of a panel's title
const LEAST_PANEL = 130, MAX_ROW = 60, BEST_ROW = 28, MAX_HEIGHT = 640;
const span = Math.max(...panels.map((panel) => panel.summary.makespan - origin)) || 1;
const base = $("base").getContext("2d", { alpha: false }), over = $("over").getContext("2d");
let width = 0, height = 0, ratio = 1, gutter = 0, colour = {};
let left = 0, scale = 1, top_ = 0, row = 20; // time at the left edge, px/s, px scrolled, px a row
let fitted = true; // the whole schedule is shown, as it was at first
let picked = -1, active = panels[0], pinned = false, queued = false; // a task, and where it is pointed at
let chainShown = true;
const xOf = (time) => gutter + (time - left) * scale; // of a time on the axis
const xAt = (time) => xOf(time - origin); // of one of the problem
const most = () => Math.max(1, (height - AXIS) / panels.length - STRIP); // px that a panel's rows may take
const room = () => Math.min(most(), p * row);
const topOf = (panel) => AXIS + panels.indexOf(panel) * (STRIP + room()) + STRIP; // of its rows
const yOf = (panel, r) => topOf(panel) + r * row - top_;
const middleOf = (panel, i) => yOf(panel, panel.row[i]) + row / 2;
const panelAt = (y) => panels[Math.min(panels.length - 1, Math.max(0, Math.floor((y - AXIS) / (STRIP + room()))))];
const snap = (length) => Math.round(length * ratio) / ratio; // to device pixels: sharp, and drawn faster

function fit() {
  left = 0;
  scale = (width - gutter) / (span * 1.02);
  row = Math.min(32, Math.max(2, most() / p));
  top_ = 0;
  fitted = true;
  repaint();
}
function clampView() {
  const plot = Math.max(1, width - gutter);
  scale = Math.min(Math.max(scale, plot / (span * 1.1)), plot / (span * 1e-9));
  row = Math.min(Math.max(row, 2), MAX_ROW);
  const visible = plot / scale;
  left = Math.min(Math.max(left, -0.05 * visible), Math.max(0, span + 0.05 * visible - visible));
  top_ = Math.min(Math.max(top_, 0), Math.max(0, p * row - room()));
}
function zoomTime(factor, x = (gutter + width) / 2) {
  const time = left + (x - gutter) / scale;
  fitted = false;
  scale *= factor;
  clampView();
  left = time - (x - gutter) / scale;
  repaint();
}
function zoomRows(factor, y = topOf(active) + room() / 2) {
  const below = y - topOf(panelAt(y)), at = (below + top_) / row;
  fitted = false;
  row = Math.min(Math.max(row * factor, 2), MAX_ROW);
  top_ = at * row - below;
  repaint();
}
function pan(dx, dy) {
  fitted = false;
  left -= dx / scale;
  top_ -= dy;
  repaint();
}
function paint() {
  queued = false;
  draw();
  drawPicked();
  drawGraph();
  sayShown();
}
function repaint() {
  if (!queued) requestAnimationFrame(paint);
  queued = true;
}
function sayShown() {
  const shown = panels[0].taskAt.length, count = (value) => value.toLocaleString("en");
  const from = Math.max(0, left), to = Math.min(span, left + (width - gutter) / scale);
  const tasks = shown === n ? `all ${count(n)} tasks` : `${count(shown)} of ${count(n)} tasks`;
  $("shown").textContent = `Shown: ${tasks}, ${round(from, 4)} s to ${round(to, 4)} s of ${round(span, 4)} s`;
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const wanted = ["page", "text", "soft", "line", "row", "parent", "child"];
  colour = Object.fromEntries(wanted.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
function sized(context, box) { // fits a canvas into its box and empties it
  context.canvas.width = Math.round(box.clientWidth * ratio);
  context.canvas.height = Math.round(box.clientHeight * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = "12px system-ui, sans-serif";
}
function resize(printed = false) {
  const box = $("plot");
  ratio = printed === true ? 3 : window.devicePixelRatio || 1;
  width = box.clientWidth;
  height = box.clientHeight;
  for (const context of [base, over]) sized(context, box);
  for (const context of [dagBase, dagOver]) sized(context, $("dagbox"));
  const labels = data.groups.length ? data.groups.map(([label]) => label) : machines;
  const longest = labels.reduce((a, b) => (b.length > a.length ? b : a), "");
  gutter = Math.min(140, width / 4, Math.max(7 * longest.length, base.measureText(longest).width) + 14);
  if (fitted) fit();
  paint(); // at once: setting the size has emptied the canvases
}
