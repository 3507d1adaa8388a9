// The task graph beside the chart: layers by the longest path from an entry task, from top to bottom.
const MAX_GRAPH = 2000, MAX_EDGES = 20000; // tasks; edges that are all drawn
const hasGraph = n <= MAX_GRAPH && pred.length > 0;
const dagBase = $("dagbase").getContext("2d"), dagOver = $("dagover").getContext("2d");
const layout = hasGraph ? layered() : null;
let graphShown = hasGraph, dagZoom = 1, dagX = 0, dagY = 0; // px of the layout's corner

function depths() { // (n) layer of each task, and the tasks in topological order
  const waits = Int32Array.from(names, (_, i) => predPtr[i + 1] - predPtr[i]), depth = new Int32Array(n);
  const order = [];
  for (let i = 0; i < n; i++) if (!waits[i]) order.push(i);
  for (let k = 0; k < order.length; k++)
    for (const j of childrenOf(order[k])) {
      depth[j] = Math.max(depth[j], depth[order[k]] + 1);
      if (!--waits[j]) order.push(j);
    }
  return [depth, order];
}
function layered() {
  const [depth, order] = depths(), layers = [];
  for (const i of order) (layers[depth[i]] ??= []).push(i);
  const spot = new Float64Array(n); // 0 to 1, across its layer
  const place = (layer) => layer.forEach((i, k) => { spot[i] = (k + 0.5) / layer.length; });
  layers.forEach(place);
  const sweep = (layer, relatives) => { // near the mean of its relatives, which shortens edges
    const want = new Map(layer.map((i) => {
      const near = relatives(i);
      return [i, near.length ? near.reduce((sum, j) => sum + spot[j], 0) / near.length : spot[i]];
    }));
    layer.sort((i, j) => want.get(i) - want.get(j) || i - j);
    place(layer);
  };
  for (let round_ = 0; round_ < 3; round_++) {
    layers.forEach((layer) => sweep(layer, parentsOf));
    layers.toReversed().forEach((layer) => sweep(layer, childrenOf));
  }
  // A layer that is far wider than others takes several lines, filled column by column.
  const wide = Math.max(4, Math.ceil(1.3 * Math.sqrt(n))), line = new Float64Array(n), across = new Float64Array(n);
  const neighbours = [];
  let lines = 0;
  for (const layer of layers) {
    const own = Math.ceil(layer.length / wide), columns = Math.ceil(layer.length / own);
    layer.forEach((i, k) => {
      across[i] = (Math.floor(k / own) + 0.5) / columns;
      line[i] = lines + (own > 1 ? 0.6 * (k % own) : 0);
      neighbours[i] = [layer[k - 1] ?? -1, layer[k + 1] ?? -1];
    });
    lines += own > 1 ? 0.6 * (own - 1) + 1 : 1;
  }
  const columns = Math.min(wide, Math.max(...layers.map((layer) => layer.length)));
  return { across, line, lines, columns, neighbours };
}

const dagPad = 12;
const dagSize = () => [$("dagbox").clientWidth, $("dagbox").clientHeight];
const dagAt = (i) => {
  const [wide, tall] = dagSize();
  return [
    dagX + dagZoom * (dagPad + layout.across[i] * (wide - 2 * dagPad)),
    dagY + dagZoom * (dagPad + (layout.line[i] + 0.5) / layout.lines * (tall - 2 * dagPad)),
  ];
};
const dagBox = () => {
  const [wide, tall] = dagSize();
  const cell = dagZoom * (wide - 2 * dagPad) / layout.columns, deep = dagZoom * (tall - 2 * dagPad) / layout.lines;
  return [Math.min(90, Math.max(3, cell * 0.8)), Math.min(20, Math.max(3, deep * 0.5))];
};
function drawGraph() {
  if (!graphShown) return;
  const [wide, tall] = dagSize(), [w, h] = dagBox(), chained = chainShown ? active.inChain : null;
  dagBase.clearRect(0, 0, wide, tall);
  dagBase.strokeStyle = colour.soft;
  dagBase.lineWidth = 1;
  dagBase.globalAlpha = Math.min(0.7, Math.max(0.08, 120 / Math.sqrt(pred.length + 1) / 12));
  if (pred.length <= MAX_EDGES) {
    dagBase.beginPath();
    for (let j = 0; j < n; j++)
      for (const i of parentsOf(j))
        if (!hidden.has(kind[i]) && !hidden.has(kind[j])) dagEdge(dagBase, i, j, h);
    dagBase.stroke();
  }
  dagBase.globalAlpha = 1;
  if (chained) {
    dagBase.strokeStyle = colour.text;
    dagBase.lineWidth = 2;
    dagBase.beginPath();
    for (const { step, reason, cause, task } of active.links)
      if (step === "task" && reason === "input") dagEdge(dagBase, cause, task, h);
    dagBase.stroke();
  }
  for (let i = 0; i < n; i++) {
    const [x, y] = dagAt(i), [fill, ink] = data.colours[kind[i]];
    dagBase.fillStyle = hidden.has(kind[i]) ? colour.row : fill;
    dagBase.fillRect(x - w / 2, y - h / 2, w, h);
    if (hidden.has(kind[i])) {
      dagBase.lineWidth = 1;
      dagBase.strokeStyle = colour.line;
      dagBase.strokeRect(x - w / 2, y - h / 2, w, h);
    }
    if (chained?.[i]) {
      dagBase.lineWidth = 2;
      dagBase.strokeStyle = colour.text;
      dagBase.strokeRect(x - w / 2, y - h / 2, w, h);
    }
    dagBase.fillStyle = hidden.has(kind[i]) ? colour.soft : ink;
    if (w > 26 && h > 12) writeShort(dagBase, names[i], x - w / 2 + 3, y, w - 6);
  }
  drawGraphPicked();
  $("caption").textContent = `Task graph, ${layout.lines === 1 ? "one layer" : "top to bottom"}` +
    (chained ? `; outlined: critical chain of ${active.name}` : "");
}
function dagEdge(context, from, to, h) {
  const [x0, y0] = dagAt(from), [x1, y1] = dagAt(to);
  context.moveTo(x0, y0 + h / 2);
  context.lineTo(x1, y1 - h / 2);
}
function drawGraphPicked() {
  if (!graphShown) return;
  const [wide, tall] = dagSize(), [w, h] = dagBox();
  dagOver.clearRect(0, 0, wide, tall);
  if (picked < 0) return;
  dagOver.globalAlpha = 0.7;
  dagOver.fillStyle = colour.page;
  dagOver.fillRect(0, 0, wide, tall);
  dagOver.globalAlpha = 1;
  dagOver.lineWidth = 1.5;
  const boxes = [[[picked], colour.text, []]];
  boxes.unshift([parentsOf(picked), colour.parent, []], [childrenOf(picked), colour.child, [4, 3]]);
  for (const [tasks, tint, dash] of boxes) {
    dagOver.fillStyle = dagOver.strokeStyle = tint;
    dagOver.setLineDash(dash);
    dagOver.beginPath();
    for (const i of tasks)
      if (i !== picked) dagEdge(dagOver, ...(tint === colour.parent ? [i, picked] : [picked, i]), h);
    dagOver.stroke();
    for (const i of tasks) {
      const [x, y] = dagAt(i);
      dagOver.fillRect(x - w / 2, y - h / 2, w, h);
      dagOver.fillStyle = colour.page;
      if (w > 26 && h > 12) writeShort(dagOver, names[i], x - w / 2 + 3, y, w - 6);
      dagOver.fillStyle = tint;
    }
  }
}
function taskInGraph(x, y) {
  const [w, h] = dagBox();
  let best = -1, least = Infinity;
  for (let i = 0; i < n; i++) {
    const [at, deep] = dagAt(i), dx = Math.abs(x - at) - w / 2, dy = Math.abs(y - deep) - h / 2;
    const distance = Math.max(dx, dy);
    if (distance < Math.min(least, 4)) [best, least] = [i, distance];
  }
  return best;
}
function zoomGraph(factor, x, y) {
  const to = Math.min(Math.max(dagZoom * factor, 1), 40), [wide, tall] = dagSize();
  dagX = x - (x - dagX) * to / dagZoom;
  dagY = y - (y - dagY) * to / dagZoom;
  dagZoom = to;
  dagX = Math.min(0, Math.max(dagX, wide * (1 - dagZoom)));
  dagY = Math.min(0, Math.max(dagY, tall * (1 - dagZoom)));
  drawGraph();
}
