// The chart: rows with bars, the axis, the critical chain, and what is pointed at.
const MAX_LINES = 2000, SHADES = 4;

function draw() {
  clampView();
  base.globalAlpha = 1;
  base.fillStyle = colour.page;
  base.fillRect(0, 0, width, height);
  for (const panel of panels) drawPanel(panel);
  drawAxis();
}
function drawPanel(panel) {
  const y0 = topOf(panel), tall = room();
  const firstRow = Math.floor(top_ / row), lastRow = Math.min(p, Math.ceil((top_ + tall) / row));
  if (several) panel.title.style.top = `${y0 - STRIP}px`;
  base.save();
  clipRows(base, panel, 0);
  if (data.groups.length) drawGroups(panel); else drawLabels(panel, firstRow, lastRow);
  base.restore();
  base.save();
  clipRows(base, panel);
  const rowBox = (r) => {
    const y = snap(yOf(panel, r));
    return [y, snap(yOf(panel, r + 1)) - y - (row > 5 ? 1 : 0)];
  };
  const written = []; // names, for the chain's lines lie below them
  const [box, show_] = row > 5 ? boxes() : pixels(y0, tall);
  for (let r = firstRow; r < lastRow; r++) {
    const [y, thick] = rowBox(r);
    box(gutter, width, y, thick, -1, 1);
    drawRow(panel, r, (from, to, k, shade) => box(from, to, y, thick, k, shade), y + thick / 2, written);
  }
  show_();
  base.globalAlpha = 1;
  base.fillStyle = colour.soft;
  for (const [, first] of data.groups) if (first) base.fillRect(gutter, snap(yOf(panel, first)) - 1, width, 1);
  if (chainShown) drawChain(panel);
  for (const text of written) writeName(...text);
  base.strokeStyle = colour.text;
  base.lineWidth = 1.5;
  const end = snap(xAt(panel.summary.makespan)), first = snap(xAt(panels[0].summary.makespan));
  strokeLine(base, end, y0, end, y0 + tall);
  base.setLineDash([2, 3]);
  if (panel !== panels[0]) strokeLine(base, first, y0, first, y0 + tall);
  base.restore();
}
// Two ways to fill a box with the colour of a kind, or of an empty row where the kind is -1: on the
// canvas, and, for very many thin rows, pixel by pixel, which is faster where no graphics card helps.
function boxes() {
  const box = (from, to, y, thick, k, shade) => {
    base.globalAlpha = shade;
    base.fillStyle = k < 0 ? colour.row : data.colours[k][0];
    base.fillRect(from, y, to - from, thick);
  };
  return [box, () => { base.globalAlpha = 1; }];
}
function pixels(top, tall) {
  const at = (length) => Math.round(length * ratio), first = at(gutter), high = at(top);
  const wide = at(width) - first, deep = at(top + tall) - high;
  if (wide < 1 || deep < 1) return [() => {}, () => {}];
  const image = base.createImageData(wide, deep), words = new Uint32Array(image.data.buffer);
  const parts = (tint) => { // red, green, blue
    base.fillStyle = tint;
    return [1, 3, 5].map((k) => parseInt(base.fillStyle.slice(k, k + 2), 16));
  };
  const ground = parts(colour.row), inks = data.colours.map(([fill]) => parts(fill)), mixed = new Map();
  const mix = (k, shade) => {
    const key = k + shade / 2;
    if (!mixed.has(key)) {
      const bytes = new Uint8Array(4).fill(255), ink = k < 0 ? ground : inks[k];
      ink.forEach((value, c) => { bytes[c] = Math.round(ground[c] + shade * (value - ground[c])); });
      mixed.set(key, new Uint32Array(bytes.buffer)[0]);
    }
    return mixed.get(key);
  };
  const box = (from, to, y, thick, k, shade) => {
    const x0 = Math.max(0, at(from) - first), x1 = Math.min(wide, Math.max(at(to), at(from) + 1) - first);
    const y0 = Math.max(0, at(y) - high), y1 = Math.min(deep, at(y + thick) - high), word = mix(k, shade);
    if (x0 < x1) for (let line = y0; line < y1; line++) words.fill(word, line * wide + x0, line * wide + x1);
  };
  return [box, () => base.putImageData(image, first, high)];
}
function clipRows(context, panel, x = gutter) {
  context.beginPath();
  context.rect(x, topOf(panel), width - x, room());
  context.clip();
}
const busyOf = new Float64Array(data.kinds.length);
function drawRow({ rowPtr, startAt, finishAt, taskAt }, r, box, y, written) {
  const end = rowPtr[r + 1], right = left + (width - gutter) / scale, texts = row >= 15;
  let place = firstAbove(finishAt, left - 1 / scale, rowPtr[r], end), run = { from: 0, to: 0 };
  while (place < end && startAt[place] <= right) {
    const x = xOf(startAt[place]), wide = (finishAt[place] - startAt[place]) * scale;
    if (wide >= 1) {
      const from = snap(Math.max(x, gutter - 2)), to = snap(Math.min(x + wide, width + 2));
      fillRun(run, box);
      run = { from: 0, to: 0 };
      const k = kind[taskAt[place]];
      box(from, wide > 4 ? to - 1 : to, k, 1);
      if (texts) written.push([names[taskAt[place]], data.colours[k][1], from, to, y]);
      place++;
      continue;
    }
    // Shorter than a pixel: all that starts in this pixel becomes one column, shaded by busy time,
    // in the colour of the kind that is busiest.
    const column = Math.floor(x), until = left + (column + 1 - gutter) / scale;
    let busy = 0, main = kind[taskAt[place]], next = place;
    busyOf.fill(0); // by kind
    do {
      const long = finishAt[next] - startAt[next], k = kind[taskAt[next]];
      busy += long;
      busyOf[k] += long;
      if (busyOf[k] > busyOf[main]) main = k;
      next++;
    } while (next < end && startAt[next] < until && (finishAt[next] - startAt[next]) * scale < 1);
    const shade = Math.ceil(Math.min(1, busy * scale) * SHADES) / SHADES;
    if (column !== run.to || main !== run.main || shade !== run.shade) {
      fillRun(run, box);
      run = { from: column, main, shade };
    }
    run.to = column + 1;
    place = next;
  }
  fillRun(run, box);
}
function fillRun({ from, to, main, shade }, box) { // columns that look the same
  if (from < to) box(from, to, main, 0.3 + 0.7 * shade);
}
function writeName(name, ink, from, to, y) {
  base.fillStyle = ink;
  const x = Math.max(from, gutter) + 4, space = Math.min(to, width) - x - 4;
  if (space >= 20) writeShort(base, name, x, y, space);
}
function writeShort(context, text, x, y, space) {
  const longest = Math.floor(space / 7); // characters
  context.textBaseline = "middle";
  context.fillText(text.length <= longest ? text : text.slice(0, longest - 1) + "…", x, y, space);
}
function drawLabels(panel, firstRow, lastRow) {
  const every = Math.max(1, Math.ceil(13 / row));
  base.fillStyle = colour.soft;
  for (let r = Math.ceil(firstRow / every) * every; r < lastRow; r += every)
    writeShort(base, machines[machineAt[r]], 6, yOf(panel, r) + Math.max(row, 13) / 2, gutter - 10);
}
function drawGroups(panel) { // a name for each group of rows, in the middle of what is seen of it
  const low = topOf(panel), high = low + room();
  let free = low;
  for (const [label, first, count] of data.groups) {
    const from = Math.max(low, yOf(panel, first)), to = Math.min(high, yOf(panel, first + count));
    const y = Math.max((from + to) / 2, from + 7);
    if (to <= from || y - 7 < free) continue;
    base.fillStyle = colour.line;
    base.fillRect(gutter - 4, from + 1, 2, to - from - 2);
    base.fillStyle = colour.soft;
    writeShort(base, label, 6, y, gutter - 14);
    free = y + 7;
  }
}
function drawChain(panel) {
  const middle = (i) => middleOf(panel, i), box = row > 5 ? row - 1 : row;
  const seen = ({ from, to }) => xAt(to) > gutter - 2 && xAt(from) < width + 2;
  base.strokeStyle = base.fillStyle = colour.text;
  for (const { step, task, parent, from, to } of panel.links.filter(seen)) {
    if (step === "task") {
      const x = Math.max(xAt(from), gutter - 4), wide = Math.max(2, Math.min(xAt(to), width + 4) - x - 1);
      const y = snap(yOf(panel, panel.row[task]));
      base.lineWidth = 2;
      if (row > 8 && wide <= 8) { // outlines would hide the colours of neighbours
        base.fillRect(x, y, wide + 1, 3);
        base.fillRect(x, y + box - 3, wide + 1, 3);
      } else if (row > 5) {
        base.strokeRect(x + 1, y + 1, wide - 2, box - 2);
      } else {
        base.fillRect(x, y, wide, box);
      }
      continue;
    }
    base.setLineDash(step === "idle" ? [3, 3] : []);
    const y0 = middle(step === "idle" ? task : parent);
    const rim = row > 8 ? [[colour.page, 4]] : []; // sets it off from bars
    for (const [tint, thick] of [...rim, [colour.text, row > 8 ? 1.75 : 1]]) {
      base.strokeStyle = tint;
      base.lineWidth = thick;
      strokeLine(base, xAt(from), y0, xAt(to), middle(task));
    }
  }
  base.setLineDash([]);
}
function axisText(time, step, digits) { // with as many digits as neighbours need to differ
  if (digits <= 9 && time < 1e9) return time.toFixed(digits);
  const more = time > 0 ? Math.round(Math.log10(time) - Math.log10(step)) + 1 : 0;
  return time > 0 ? String(round(time, Math.min(Math.max(more + 1, 1), 17))) : "0";
}
function drawAxis() {
  const rough = 90 / scale, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => power * factor >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  base.fillStyle = colour.page;
  base.fillRect(0, 0, width, AXIS);
  base.textBaseline = "middle";
  for (let k = Math.max(0, Math.ceil(left / step)); xOf(k * step) < width; k++) {
    const x = xOf(k * step);
    base.fillStyle = colour.line;
    base.fillRect(x, AXIS - 5, 1, 5);
    base.fillStyle = colour.soft;
    const text = `${axisText(k * step, step, digits)} s`;
    if (x + 3 + base.measureText(text).width < width) base.fillText(text, x + 3, AXIS / 2);
  }
  base.fillStyle = colour.line;
  base.fillRect(0, AXIS - 1, width, 1);
  base.strokeStyle = colour.soft;
  base.lineWidth = 1;
  base.setLineDash([5, 4]);
  const bound = xAt(data.lower_bound);
  for (const panel of panels)
    if (bound > gutter) strokeLine(base, bound, topOf(panel), bound, topOf(panel) + room());
  base.setLineDash([]);
}
function strokeLine(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function drawPicked() {
  over.clearRect(0, 0, width, height);
  if (picked >= 0) for (const panel of panels) drawPickedIn(panel);
}
function drawPickedIn(panel) {
  const { start, finish } = panel;
  over.save();
  clipRows(over, panel);
  over.globalAlpha = 0.7;
  over.fillStyle = colour.page;
  over.fillRect(gutter, AXIS, width - gutter, height - AXIS);
  over.globalAlpha = 1;
  over.lineWidth = 1.5;
  for (const [relatives, tint, dash] of [[parentsOf(picked), colour.parent, []], [childrenOf(picked), colour.child, [4, 3]]]) {
    for (const i of relatives) drawBox(panel, i, tint);
    if (relatives.length > MAX_LINES) continue;
    over.strokeStyle = tint;
    over.setLineDash(dash);
    for (const i of relatives) {
      const [from, to] = tint === colour.parent ? [i, picked] : [picked, i];
      strokeLine(over, xAt(finish[from]), middleOf(panel, from), xAt(start[to]), middleOf(panel, to));
    }
  }
  drawBox(panel, picked, colour.text);
  over.restore();
}
function drawBox(panel, i, tint) {
  const x = Math.max(xAt(panel.start[i]), gutter - 2), to = Math.min(xAt(panel.finish[i]), width + 2);
  const tall = Math.max(3, row - 1);
  over.fillStyle = tint;
  over.fillRect(x, yOf(panel, panel.row[i]) + (row - tall) / 2, Math.max(2, to - x), tall);
}
