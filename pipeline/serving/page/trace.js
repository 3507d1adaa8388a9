// A schedule in the Trace Event Format, for Perfetto, in the form of `deepsched schedule --trace`.
import { exact } from "./exact.js";

const MOST_FLOWS = 20_000; // arrows a viewer still moves well
const PID = 1;
const LARGEST = 2 ** 53; // up to here a double, which viewers read, holds every whole number
const MICROSECONDS = 6, PARTS = 512; // the power of ten in a second; ticks of a microsecond
const NOISE = 1e-14; // of the span: times so close differ by rounding

export function asTrace({ answer, machines, row, start, finish }, name) {
  const scale = scaleOf(start, finish), n = answer.tasks.length;
  const from = start.map((time) => whole(scale, time)), to = finish.map((time) => whole(scale, time));
  const microseconds = (tick) => tick / scale.parts;
  const unit = Number(`1e${-scale.power}`), { arrivals, edges = [] } = answer;
  const usual = scale.power === MICROSECONDS && scale.offset === 0;
  const title = `${name}, ${answer.scheduler}` + (usual ? "" :
    ` (0 is ${exact(scale.offset)} s, 1 µs stands for ${exact(unit).replace(/\.0$/, "")} s)`);
  // Tracks count from 1: viewers take thread 0 for the idle thread of the system.
  const about = (tid, kind, args) => ({ ph: "M", pid: PID, tid, name: kind, args });
  const events = [about(0, "process_name", { name: title })];
  machines.forEach((machine, k) => {
    events.push(about(k + 1, "thread_name", { name: machine }));
    events.push(about(k + 1, "thread_sort_index", { sort_index: k + 1 }));
  });
  for (let i = 0; i < n; i++)
    events.push({
      ph: "X", pid: PID, tid: row[i] + 1, name: answer.tasks[i].id, cat: "task",
      ts: microseconds(from[i]), dur: microseconds(to[i] - from[i]),
      args: { ...(arrivals ? { arrival: arrivals[i] } : {}), start: start[i], finish: finish[i] },
    });
  const drawn = edges.length <= MOST_FLOWS ? edges : [];
  drawn.forEach(([i, j], id) => {
    const ends = { pid: PID, cat: "edge", name: "edge", id };
    // From the middle of the parent: at its very end the next slice would be taken for it.
    events.push({ ph: "s", tid: row[i] + 1, ts: microseconds(Math.floor((from[i] + to[i]) / 2)), ...ends });
    events.push({ ph: "f", bp: "e", tid: row[j] + 1, ts: microseconds(from[j]), ...ends });
  });
  const other = {
    problem: name, scheduler: answer.scheduler, makespan_s: answer.makespan, offset_s: scale.offset,
    microsecond_s: unit, scheduling_s: answer.seconds, edges_left_out: edges.length - drawn.length,
  };
  const lines = events.map((event) => JSON.stringify(event)).join(",\n");
  return `{"displayTimeUnit": "ms", "otherData": ${JSON.stringify(other)}, "traceEvents": [\n${lines}\n]}\n`;
}

// Whole microseconds are rounded down: else neighbours would overlap in their last digit.
function whole({ offset, power, parts }, time) {
  const scaled = (time - offset) * Number(`1e${power}`) * parts;
  return power === MICROSECONDS && parts === 1 ? Math.floor(scaled) : evenly(scaled);
}
function evenly(value) { // halves to the even neighbour
  const low = Math.floor(value), over = value - low;
  return over < 0.5 || (over === 0.5 && low % 2 === 0) ? low : low + 1;
}
// The plainest unit in which times that differ by more than rounding stay different.
function scaleOf(start, finish) {
  const times = Float64Array.from(new Set([...start, ...finish])).sort();
  const span = times.at(-1) - times[0], far = [];
  let least = Infinity;
  for (let k = 1; k < times.length; k++) {
    if (times[k] - times[k - 1] <= NOISE * span) continue;
    far.push(k);
    least = Math.min(least, times[k] - times[k - 1]);
  }
  for (const scale of scales(times[0], least)) {
    const tick = (k) => whole(scale, times[k]);
    if (tick(0) >= 0 && tick(times.length - 1) <= LARGEST && far.every((k) => tick(k) > tick(k - 1))) return scale;
  }
  return { offset: times[0], power: MICROSECONDS, parts: PARTS }; // no unit serves: the nearest
}
function* scales(first, least) {
  for (const offset of [0, first]) for (const parts of [1, PARTS]) yield { offset, power: MICROSECONDS, parts };
  if (!Number.isFinite(least)) return;
  const exponent = -Math.floor(Math.log10(least));
  for (let power = exponent + 3; power > exponent - 2; power--)
    if (power >= -308 && power <= 308) for (const offset of [0, first]) yield { offset, power, parts: 1 };
}
