// A job: sent, watched until it ends, cancelled; its address stays in the page's own, so that
// another visit goes on watching.
import { drawCurve } from "./curve.js";
import { inNextFrame } from "./drawing.js";
import { $ } from "./elements.js";
import { Refusal, call } from "./service.js";
import { count, percent, seconds } from "./words.js";

const SOONEST = 0.1, LATEST = 2; // s between questions: a tenth of what it has taken so far, between these
const ENDED = new Set(["done", "failed", "cancelled"]);
const BUSY = new Set([0, 408, 429, 503, 504]); // worth asking again
const PLACE = "#job=";

let job = null, watched = null; // the newest state; { id, budget, since }
let wake = () => {};

export const address = (id) => `v1/jobs/${encodeURIComponent(id)}`;
const sleep = (time) => new Promise((done) => {
  wake = done;
  setTimeout(done, 1000 * time);
});

// Sends a job and returns its result, or null if it has none.
export async function runJob(request, budget) {
  return watch(await call("v1/jobs", { method: "POST", ...request }), budget);
}
export async function resumeJob() { // of an earlier visit
  if (!location.hash.startsWith(PLACE)) return null;
  const id = decodeURIComponent(location.hash.slice(PLACE.length));
  try {
    return await watch(await call(address(id)), 0);
  } catch (error) {
    if (error.status === 404) setPlace("");
    throw error;
  }
}
const setPlace = (hash) => history.replaceState(null, "", location.pathname + location.search + hash);

async function watch(first, budget) {
  const own = watched = { id: first.id, budget, since: null, begun: performance.now(), silent: 0 };
  setPlace(PLACE + encodeURIComponent(first.id));
  $("job").hidden = false;
  show(first);
  while (!ENDED.has(job.state)) {
    await sleep(Math.min(LATEST, Math.max(SOONEST, (performance.now() - own.begun) / 10_000)));
    if (ENDED.has(job.state)) break;
    const found = await ask(own);
    if (own !== watched) return null;
    if (found) show(found);
  }
  if (job.state !== "done") return null;
  const answer = await call(`${address(job.id)}/result`);
  return { answer, job };
}
async function ask(own) {
  try {
    const found = await call(address(own.id));
    own.silent = 0;
    return ENDED.has(job.state) ? null : found; // it was cancelled meanwhile
  } catch (error) {
    if (!(error instanceof Refusal && BUSY.has(error.status)) || own.silent > 20) throw error;
    own.silent += 1;
    $("job-about").textContent = `${error.message} Asking again.`;
    await sleep(error.wait || LATEST);
    return null;
  }
}
export async function cancelJob() {
  if (!job || ENDED.has(job.state)) return;
  const found = await call(address(job.id), { method: "DELETE" });
  if (found.id === job.id) show(found);
  wake();
}
function show(found) {
  job = found;
  const { state, scheduler, n_tasks: tasks, n_machines: machines, ahead, error } = job;
  if (state === "running") watched.since ??= performance.now() - 1000 * (job.history.at(-1)?.[0] ?? 0);
  $("job-state").textContent = state;
  $("job-state").className = `chip ${state}`;
  $("cancel").hidden = ENDED.has(state);
  const parts = [scheduler];
  if (tasks !== null && machines !== null) parts.push(`${count(tasks, "task")} on ${count(machines, "machine")}`);
  if (state === "queued") parts.push(ahead ? `${count(ahead, "job")} before it` : "next in the queue");
  $("job-about").textContent = parts.join(" · ");
  $("job-best").textContent = error ?? best();
  redrawJob();
}
function best() {
  const { makespan, heft_makespan: heft } = job;
  if (makespan === null) return ENDED.has(job.state) ? "It ended without a schedule." : "No schedule yet.";
  const found = ENDED.has(job.state) ? "Best makespan" : "Best makespan so far";
  return `${found}: ${seconds(makespan)}${heft > 0 ? ` (HEFT ${seconds(heft)}, ${percent(makespan / heft)})` : ""}`;
}
function redrawJob() {
  inNextFrame(drawJob);
}
export function drawJob() {
  if (!job || $("job").hidden) return;
  const { makespan, heft_makespan: heft, started, finished } = job;
  const now = finished !== null && started !== null ? finished - started
    : watched.since === null ? 0 : (performance.now() - watched.since) / 1000;
  // The end may bring what no step before has told.
  const steps = job.history, told = steps.at(-1)?.[1] ?? Infinity;
  const history = makespan !== null && makespan < told ? [...steps, [now, makespan]] : steps;
  drawCurve($("curve"), { history, heft, now, end: ENDED.has(job.state) ? now : watched.budget });
}
