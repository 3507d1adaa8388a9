// The page: a workflow, machines and schedulers in; schedules beside each other out.
import { arrange } from "./arrange.js";
import { Mistake, chosen, jobBudget, limits, loadSchedulers, problemQuery, query, showMachines, startAsking } from "./asking.js";
import { canBeTall, makeChart, outgrown, resizeAll } from "./chart.js";
import { beginComparison, compared, fit, view } from "./comparison.js";
import { inNextFrame, readColours } from "./drawing.js";
import { $, element } from "./elements.js";
import { showFigures } from "./figures.js";
import { cancelJob, drawJob, resumeJob, runJob } from "./job.js";
import { COLOURS } from "./kinds.js";
import { forgetCharts, listen, sayShown, startPointing } from "./pointing.js";
import { Refusal, call } from "./service.js";
import { showText, source, startSource } from "./source.js";
import { seconds } from "./words.js";

const STARTING = new Set([429, 503]); // a service that will answer soon
const EXAMPLE = { name: "sky mosaic", file: "static/example.json", machines: "4" };

// What is wrong, in one line each, and maybe a way to try again, after a wait in s.
function say(lines, again = null, wait = 0) {
  const box = $("message"), button = $("again");
  $("message-text").textContent = lines.join("\n");
  box.hidden = !lines.length;
  button.hidden = !again;
  button.onclick = () => {
    say([]);
    again();
  };
  button.disabled = wait > 0;
  if (wait > 0) setTimeout(() => { button.disabled = false; }, 1000 * wait);
  if (lines.length) box.scrollIntoView({ block: "nearest" });
}
function complain(error, again) {
  if (error.name === "AbortError") return;
  if (error instanceof Mistake) {
    say([error.message]);
    error.place?.focus();
  } else if (error instanceof Refusal) {
    const { wait, status } = error;
    const tryAgain = wait || [0, 401, 408, 503, 504].includes(status);
    say([error.message + (wait ? ` (wait ${seconds(wait)})` : "")], tryAgain ? again : null, wait);
  } else {
    say([`The page has a fault: ${error.message}`]);
    throw error;
  }
}

function wanted() { // the problem and its key; a request's parts
  const found = source();
  if (!found) throw new Mistake("There is no workflow yet: drop a file, paste one, or try the example.", $("text"));
  const most = limits().max_body_mb, size = new Blob([found.body]).size / 1e6;
  if (most && size > most && !(found.body instanceof Uint8Array))
    throw new Mistake(`The workflow has ${size.toFixed(1)} MB; this service takes ${most}.`);
  const { name, body, type } = found;
  return { name, key: [body, JSON.stringify(problemQuery())], request: { body, headers: { "Content-Type": type } } };
}
const sameKey = (a, b) => a !== null && a.every((part, k) => part === b[k]);

let stopped = new AbortController(), running = false;
async function scheduleAll() {
  if (running) return;
  say([]);
  const faults = [];
  let fresh = true;
  try {
    const { name, key, request } = wanted(), names = chosen();
    if (!names.length) throw new Mistake("Choose a scheduler first.", document.querySelector("#schedulers input"));
    const queries = names.map((one) => query(one));
    busy(true);
    $("found").classList.toggle("old", !sameKey(compared.key, key));
    for (const [k, one] of names.entries()) { // one after the other: they would slow each other down
      $("progress").textContent = `${one} schedules${names.length > 1 ? ` (${k + 1} of ${names.length})` : ""} …`;
      try {
        const answer = await call("v1/schedule", { method: "POST", query: queries[k], signal: stopped.signal, ...request });
        add(answer, one, { key, name, fresh });
        fresh = false;
      } catch (error) {
        if (!(error instanceof Refusal) || ![400, 404, 413, 504].includes(error.status)) throw error;
        faults.push([one, error.message]);
      }
    }
    // What every scheduler says is not about schedulers.
    const alike = fresh && new Set(faults.map(([, line]) => line)).size === 1;
    if (faults.length) say(alike ? [faults[0][1]] : faults.map(([one, line]) => `${one}: ${line}`));
  } catch (error) {
    complain(error, scheduleAll);
  } finally {
    busy(false);
  }
  if (!fresh) $("results").scrollIntoView({ block: "start" });
}
function busy(now) {
  running = now;
  if (now) stopped = new AbortController();
  $("schedule").disabled = now;
  $("stop").hidden = !now;
  if (!now) $("progress").textContent = "";
}

// A schedule joins those of the same problem, or begins anew.
function add(answer, label, { key, name, fresh }) {
  const panel = { ...arrange(answer), label };
  if (fresh || !sameKey(compared.key, key)) {
    forgetCharts();
    $("charts").replaceChildren();
    beginComparison(key, name, panel);
    view.tall = false;
    $("tall").setAttribute("aria-pressed", "false");
    showLegend();
  }
  compared.panels.push(panel);
  $("empty").hidden = true;
  $("found").hidden = false;
  $("found").classList.remove("old");
  listen(makeChart(panel, $("charts")));
  fit();
  showFigures();
  $("tall").hidden = !canBeTall();
  sayShown();
  inNextFrame(redrawUnlessPrinting);
}
function showLegend() {
  const legend = $("legend");
  legend.replaceChildren();
  compared.kinds.forEach((kind, k) => {
    element("span", kind, legend).style.setProperty("--swatch", COLOURS[k][0]);
  });
  legend.hidden = compared.kinds.length < 2;
}

let watching = false;
async function startJob() {
  if (watching) return;
  say([]);
  try {
    const { name, key, request } = wanted(), scheduler = $("job_scheduler").value, budget = jobBudget();
    await follow(runJob({ query: query(scheduler, budget), ...request }, Number(budget)), { name, key });
  } catch (error) {
    complain(error, startJob);
  }
}
async function follow(result, { name, key }) {
  watching = true;
  $("run").disabled = true;
  try {
    const found = await result;
    if (!found) return;
    const { answer, job } = found, long = job.finished - job.started;
    const label = `${job.scheduler}, job${Number.isFinite(long) ? ` of ${seconds(long, 2)}` : ""}`;
    add(answer, label, { key: key ?? [job.id], name: name ?? "job", fresh: false });
  } finally {
    watching = false;
    $("run").disabled = false;
  }
}
const resume = () => follow(resumeJob(), {}).catch((error) => complain(error, resume));

async function tryExample() {
  try {
    const { name, file, machines } = EXAMPLE, answer = await fetch(file);
    if (!answer.ok) throw new Refusal(answer.status, "The example is not there.");
    showText(await answer.text(), name);
    $("machines").value = machines;
    await scheduleAll();
  } catch (error) {
    complain(error instanceof TypeError ? new Refusal(0, "The service cannot be reached.") : error, tryExample);
  }
}
async function begin() {
  try {
    await loadSchedulers();
  } catch (error) {
    complain(error, begin);
    if (STARTING.has(error.status)) setTimeout(begin, 1000 * (error.wait || 2));
    return;
  }
  say([]);
  await resume();
}

readColours();
startAsking();
startSource(showMachines);
startPointing();
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  scheduleAll();
});
for (const id of ["example", "first"]) $(id).onclick = tryExample;
$("stop").onclick = () => stopped.abort();
$("run").onclick = startJob;
$("cancel").onclick = () => cancelJob().catch((error) => complain(error));
$("tall").onclick = () => {
  view.tall = !view.tall;
  $("tall").setAttribute("aria-pressed", String(view.tall));
  resizeAll();
};
const redraw = () => {
  readColours();
  resizeAll();
  drawJob();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
new ResizeObserver(() => outgrown() && inNextFrame(redrawUnlessPrinting)).observe($("charts"));
new ResizeObserver(() => inNextFrame(drawJob)).observe($("job-plot"));
function redrawUnlessPrinting() {
  if (!document.documentElement.matches(".printing")) redraw();
}
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("printing");
  redraw();
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("printing");
  redraw();
});
begin();
