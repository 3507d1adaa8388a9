// What is compared: the schedules of one problem, and what all charts of them share.
import { relatives } from "./arrange.js";
import { taskKinds } from "./kinds.js";

export const NOBODY = -1;
export const compared = {
  key: null, // of the problem; another one begins a new comparison
  name: "",
  panels: [], // schedules as `arrange` makes them, each with a `label`
  tasks: [], // names
  machines: [],
  kinds: [],
  kind: new Uint8Array(),
  parentsOf: () => [],
  childrenOf: () => [],
  picked: NOBODY, // the task that is pointed at
};

export function beginComparison(key, name, panel) {
  const { answer } = panel, tasks = answer.tasks.map((task) => task.id);
  Object.assign(compared, {
    key,
    name,
    panels: [],
    tasks,
    machines: panel.machines,
    picked: NOBODY,
    ...taskKinds(tasks),
    ...relatives(tasks.length, answer.edges ?? []),
  });
}

// The span of time that all charts show. Times count from `first`, which is 0 unless all begins late.
export const view = { first: 0, last: 1, from: 0, to: 1, tall: false };

export function fit() {
  const { panels } = compared;
  const ends = panels.map(({ answer }) => answer.makespan);
  const begin = Math.min(...panels.map(({ start }) => start.reduce((a, b) => Math.min(a, b), Infinity)));
  view.last = Math.max(...ends, Number.MIN_VALUE);
  view.first = begin > view.last / 2 ? begin : 0;
  if (!(view.last > view.first)) view.last = view.first + (view.first || 1);
  view.from = view.first;
  view.to = view.last + 0.015 * (view.last - view.first);
}
export function zoom(factor, at = (view.from + view.to) / 2) {
  const whole = view.last - view.first, long = (view.to - view.from) / factor;
  const span = Math.min(1.1 * whole, Math.max(long, 1e-9 * whole));
  const part = (at - view.from) / (view.to - view.from);
  view.from = at - part * span;
  view.to = view.from + span;
  keepInside();
}
export function pan(by) {
  view.from += by;
  view.to += by;
  keepInside();
}
export function include(start, finish) { // moves no further than it must
  const span = view.to - view.from, edge = 0.05 * span;
  if (start < view.from) pan(start - edge - view.from);
  else if (finish > view.to) pan(Math.min(finish + edge - view.to, start - edge - view.from));
}
function keepInside() {
  const span = view.to - view.from, room = 0.05 * span;
  const from = Math.max(view.first - room, Math.min(view.from, view.last + room - span));
  view.from = span >= view.last - view.first ? Math.min(from, view.first) : from;
  if (view.from < view.first && view.from > view.first - room) view.from = view.first;
  view.to = view.from + span;
}
