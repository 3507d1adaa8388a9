// What is shown. Times are in seconds. A "row" is a line of the chart, one machine's; a "place" a
// position in the list of shown tasks sorted by row, then start; the places of row r are
// rowPtr[r] .. rowPtr[r + 1] - 1. A panel shows one schedule.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const origin = data.origin; // s; the axis and all that is drawn count from here
const names = data.tasks, machines = data.machines, n = names.length, p = machines.length;
const unpack = (text, Kind) => {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return new Kind(bytes.buffer);
};
const kind = unpack(data.kind, Uint8Array), arrival = unpack(data.arrival, Float64Array);
const predPtr = unpack(data.pred_ptr, Int32Array), pred = unpack(data.pred, Int32Array);
const rowOf = unpack(data.row, Int32Array), machineAt = new Int32Array(p); // machines to rows and back
rowOf.forEach((row, machine) => { machineAt[row] = machine; });

const succPtr = new Int32Array(n + 1), succ = new Int32Array(pred.length);
for (const i of pred) succPtr[i + 1]++;
for (let i = 0; i < n; i++) succPtr[i + 1] += succPtr[i];
const filled = succPtr.slice(0, n);
for (let j = 0; j < n; j++)
  for (let e = predPtr[j]; e < predPtr[j + 1]; e++) succ[filled[pred[e]]++] = j;
const parentsOf = (i) => pred.subarray(predPtr[i], predPtr[i + 1]);
const childrenOf = (i) => succ.subarray(succPtr[i], succPtr[i + 1]);

const hidden = new Set(); // kinds
function makePanel({ name, winner, difference, against, summary, chain, ...packed }) {
  const machine = unpack(packed.machine, Int32Array), row = machine.map((m) => rowOf[m]);
  const start = unpack(packed.start, Float64Array), finish = unpack(packed.finish, Float64Array);
  const sorted = Int32Array.from(names, (_, i) => i).sort(
    (i, j) => row[i] - row[j] || start[i] - start[j] || finish[i] - finish[j] || i - j);
  const links = chain.map(([step, task, parent, reason, cause, from, to]) =>
    ({ step, task, parent, reason, cause, from, to }));
  const panel = { name, winner, difference, against, summary, machine, row, start, finish, sorted, links };
  panel.inChain = new Uint8Array(n);
  for (const { task } of links) panel.inChain[task] = 1;
  showKinds(panel);
  return panel;
}
function showKinds(panel) { // lists the tasks whose kind is not hidden
  const { row, start, finish, sorted } = panel;
  const taskAt = hidden.size ? sorted.filter((i) => !hidden.has(kind[i])) : sorted;
  const placeOf = new Int32Array(n).fill(-1), rowPtr = new Int32Array(p + 1);
  const startAt = new Float64Array(taskAt.length), finishAt = new Float64Array(taskAt.length);
  taskAt.forEach((i, place) => {
    placeOf[i] = place;
    rowPtr[row[i] + 1]++;
    startAt[place] = start[i] - origin;
    finishAt[place] = finish[i] - origin;
  });
  for (let r = 0; r < p; r++) rowPtr[r + 1] += rowPtr[r];
  Object.assign(panel, { taskAt, placeOf, rowPtr, startAt, finishAt });
}
const panels = data.panels.map(makePanel), several = panels.length > 1;
const firstAbove = (times, value, low, high) => { // first place in [low, high) with times > value
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] > value) high = middle; else low = middle + 1;
  }
  return low;
};
const round = (value, digits = 7) => Number(value.toPrecision(digits));
// Far from 0, times differ in digits that nobody would read.
const moment = (time, digits = 10) =>
  origin ? `${origin} + ${round(time - origin, digits)} s` : `${round(time, digits)} s`;
