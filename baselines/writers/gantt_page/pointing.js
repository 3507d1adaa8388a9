// Pointer, wheel and keys; the card of the task that is pointed at.
const NEAR = 4, MAX_LISTED = 8;

function taskUnder(panel, x, y) {
  const below = y - topOf(panel), r = Math.floor((below + top_) / row);
  if (x < gutter || below < 0 || below > room() || r < 0 || r >= p) return -1;
  const { startAt, finishAt, rowPtr, taskAt } = panel, time = left + (x - gutter) / scale, near = NEAR / scale;
  let best = -1, least = near;
  let place = firstAbove(finishAt, time - near, rowPtr[r], rowPtr[r + 1]);
  for (; place < rowPtr[r + 1] && startAt[place] <= time + near; place++) {
    const distance = Math.max(startAt[place] - time, time - finishAt[place], 0);
    if (distance < least) [best, least] = [taskAt[place], distance];
    if (startAt[place] > time) break; // the next ones are farther away
  }
  return best;
}
function element(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.append(made);
  return made;
}
function list(title, relatives, describe, tint, card) {
  element("h3", `${title}: ${relatives.length || "none"}`, card).style.color = tint;
  const items = element("ul", "", card);
  for (const i of relatives.subarray(0, MAX_LISTED)) {
    const text = `${names[i]} · ${machines[active.machine[i]]} · ${describe(i)}`;
    const button = element("button", text, element("li", "", items)), panel = active;
    button.onclick = () => reveal(i, panel);
  }
  if (relatives.length > MAX_LISTED) element("li", `and ${relatives.length - MAX_LISTED} more`, items);
}
function show(panel, i, pin, x, y) {
  const card = $("card"), changed = i !== picked, moved = panel !== active;
  picked = i;
  active = panel;
  pinned = pin && i >= 0;
  card.classList.toggle("pinned", pinned);
  card.hidden = i < 0;
  if (i >= 0 && (changed || moved || !card.childElementCount)) fillCard(card, i);
  if (i >= 0) placeCard(card, x ?? xOf(centre(panel, i)), y ?? yOf(panel, panel.row[i]) + row);
  if (changed) requestAnimationFrame(() => { drawPicked(); drawGraphPicked(); });
  if (moved) requestAnimationFrame(drawGraph);
}
function fillCard(card, i) {
  const { machine, start, finish } = active;
  const where = (m) => {
    const group = data.groups.find(([, first, count]) => rowOf[m] >= first && rowOf[m] < first + count);
    return group && group[0] !== machines[m] ? `${machines[m]} of ${group[0]}` : machines[m];
  };
  card.replaceChildren();
  element("h2", names[i], card);
  if (several) {
    element("p", data.kinds[kind[i]], card);
    for (const panel of panels) {
      const times = `${moment(panel.start[i])} to ${moment(panel.finish[i])}`;
      const line = element("p", `${panel.name}: ${where(panel.machine[i])} · ${times}`, card);
      line.classList.toggle("active", panel === active);
    }
  } else {
    element("p", `${where(machine[i])} · ${data.kinds[kind[i]]}`, card);
    element("p", `start ${moment(start[i])}, finish ${moment(finish[i])}`, card);
  }
  element("p", `takes ${round(finish[i] - start[i])} s, arrived ${moment(arrival[i], 7)}, ` +
    `waited ${round(start[i] - arrival[i])} s`, card);
  list("Parents", parentsOf(i), (j) => `finish ${moment(finish[j], 7)}`, "var(--parent)", card);
  list("Children", childrenOf(i), (j) => `start ${moment(start[j], 7)}`, "var(--child)", card);
}
function placeCard(card, x, y) {
  const w = card.offsetWidth, h = card.offsetHeight;
  const fit_ = (at, size, whole) => Math.max(4, Math.min(at + 16 + size > whole ? at - 16 - size : at + 16, whole - size - 4));
  card.style.left = `${fit_(x, w, width)}px`;
  card.style.top = `${fit_(y, h, height)}px`;
}
const centre = (panel, i) => (panel.start[i] - origin + panel.finish[i] - origin) / 2; // on the axis
function reveal(i, panel = active) {
  const times = panels.flatMap(({ start, finish }) => [start[i] - origin, finish[i] - origin]);
  const rows = panels.map((one) => one.row[i]);
  const range = (values) => Math.max(...values) - Math.min(...values);
  const long = panel.finish[i] - panel.start[i];
  // Nearer, if it is hardly seen; but not so near that another panel's is out of sight.
  if (long > 0 && long * scale < 8)
    scale = Math.max(scale, Math.min(40 / long, 0.8 * (width - gutter) / range(times)));
  if (row < 14) row = 16;
  fitted = false;
  clampView();
  // In the middle between where it is in all panels, if they can be seen at once, else in this one's.
  const middle = (values, own, size) => (range(values) < 0.9 * size ? Math.min(...values) + range(values) / 2 : own);
  const plot = (width - gutter) / scale;
  left = middle(times, centre(panel, i), plot) - plot / 2;
  top_ = (middle(rows, panel.row[i], room() / row - 1) + 0.5) * row - room() / 2;
  clampView();
  repaint();
  show(panel, i, true);
}

const position = (event) => {
  const box = event.currentTarget.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
// What a drag, a pinch, a click and hovering do on a canvas.
function listen(canvas, { drag, pinch, point }) {
  const pointers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, position(event));
    if (pointers.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = position(event), before = pointers.get(event.pointerId);
    if (!before) {
      if (!pinned) point(x, y, false);
      return;
    }
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const far = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
      pinch(far([x, y]) / far(before), ...other);
    } else {
      drag(x - before[0], y - before[1]);
    }
    moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
    pointers.set(event.pointerId, [x, y]);
  });
  for (const kindOfEnd of ["pointerup", "pointercancel"])
    canvas.addEventListener(kindOfEnd, (event) => {
      pointers.delete(event.pointerId);
      if (kindOfEnd === "pointerup" && moved < 6) point(...position(event), true);
    });
  canvas.addEventListener("pointerleave", () => { if (!pinned && !pointers.size) show(active, -1, false); });
}
listen($("over"), {
  drag: pan,
  pinch: (factor, x) => zoomTime(factor, x),
  point: (x, y, pin) => show(panelAt(y), taskUnder(panelAt(y), x, y), pin, x, y),
});
listen($("dagover"), {
  drag: (dx, dy) => { dagX += dx; dagY += dy; zoomGraph(1, 0, 0); },
  pinch: zoomGraph,
  point: (x, y, pin) => {
    const i = taskInGraph(x, y);
    if (pin && i >= 0) reveal(i); else show(active, i, pin);
  },
});
const turned = (event) => event.deltaMode === 0 ? 1 : 20;
$("over").addEventListener("wheel", (event) => {
  event.preventDefault();
  const unit = turned(event), dx = event.deltaX * unit, dy = event.deltaY * unit;
  const [x, y] = position(event), factor = Math.exp(-(dy || dx) / 400);
  if (event.shiftKey) pan(0, -(dy || dx));
  else if (event.altKey) zoomRows(factor, y);
  else if (Math.abs(dx) > Math.abs(dy)) pan(-dx, 0);
  else zoomTime(event.ctrlKey ? factor ** 4 : factor, x); // a pinch on a touchpad comes with Ctrl
}, { passive: false });
$("dagover").addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomGraph(Math.exp(-event.deltaY * turned(event) / (event.ctrlKey ? 100 : 400)), ...position(event));
}, { passive: false });

const step = (by) => {
  const { taskAt, placeOf, rowPtr, row: rows } = active;
  if (picked < 0 || placeOf[picked] < 0) { if (taskAt.length) reveal(taskAt[0]); return; }
  const place = placeOf[picked] + by, r = rows[picked];
  if (place >= rowPtr[r] && place < rowPtr[r + 1]) reveal(taskAt[place]);
};
const keys = {
  ArrowLeft: () => pan(80, 0), ArrowRight: () => pan(-80, 0),
  ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
  "+": () => zoomTime(1.4), "=": () => zoomTime(1.4), "-": () => zoomTime(1 / 1.4),
  "[": () => zoomRows(1 / 1.3), "]": () => zoomRows(1.3), 0: fit,
  ",": () => step(-1), ".": () => step(1), "/": () => $("search").focus(),
  c: () => $("chain").click(), Escape: () => show(active, -1, false),
};
const walk = (next) => reveal(picked < 0 ? layout.neighbours.findIndex(Boolean) : next >= 0 ? next : picked);
const graphKeys = {
  ArrowUp: () => walk(picked < 0 ? -1 : parentsOf(picked)[0] ?? -1),
  ArrowDown: () => walk(picked < 0 ? -1 : childrenOf(picked)[0] ?? -1),
  ArrowLeft: () => walk(picked < 0 ? -1 : layout.neighbours[picked][0]),
  ArrowRight: () => walk(picked < 0 ? -1 : layout.neighbours[picked][1]),
  "+": () => zoomGraph(1.4, ...dagSize().map((size) => size / 2)),
  "-": () => zoomGraph(1 / 1.4, ...dagSize().map((size) => size / 2)),
  0: () => { dagX = dagY = 0; dagZoom = 1; drawGraph(); },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $("search")) {
    if (event.key === "Escape") $("over").focus();
    return;
  }
  // A list that scrolls keeps the arrow keys.
  if (event.key.startsWith("Arrow") && event.target.closest?.("#chains, #card")) return;
  const own = event.target === $("dagover") ? graphKeys : {};
  const action = Object.hasOwn(own, event.key) ? own[event.key] : Object.hasOwn(keys, event.key) && keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
