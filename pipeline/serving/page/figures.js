// The figures of the compared schedules: what they come to in a sentence, and a table.
import { compared } from "./comparison.js";
import { $, element } from "./elements.js";
import { asCsv, asJson } from "./tables.js";
import { asTrace } from "./trace.js";
import { count, percent, seconds, took } from "./words.js";

const SAME = 1e-9; // relative: a difference of rounding
const VERSION = 8; // characters of a network's hash

export function showFigures() {
  const { panels } = compared;
  const best = panels.reduce((a, b) => (shorter(b, a) ? b : a)), longest = Math.max(...panels.map(lengthOf));
  $("headline").textContent = inWords(best);
  const { name, tasks, machines } = compared;
  const about = `${name}: ${count(tasks.length, "task")} on ${count(machines.length, "machine")}.`;
  $("bound").textContent = `${about} ${bound(best)}`;
  const body = $("figures").tBodies[0];
  body.replaceChildren();
  for (const panel of panels) addRow(body, panel, { best, longest });
}
const lengthOf = ({ answer }) => answer.makespan;
const shorter = (a, b) => lengthOf(a) < lengthOf(b) * (1 - SAME);

function inWords({ label, answer }) {
  const { makespan, heft_makespan: heft } = answer;
  if (!(heft > 0)) return `${label} finishes in ${seconds(makespan)}.`;
  if (makespan < heft * (1 - SAME))
    return `${label} finishes in ${seconds(makespan)}, ${percent(makespan / heft).slice(1)} sooner than HEFT (${seconds(heft)}).`;
  if (makespan <= heft * (1 + SAME)) return `As good as HEFT: all is done in ${seconds(makespan)}.`;
  return `${label} finishes in ${seconds(makespan)}, ${percent(makespan / heft).slice(1)} later than HEFT (${seconds(heft)}).`;
}
function bound({ answer: { makespan, lower_bound: least } }) {
  if (!(least > 0)) return "";
  if (makespan <= least * (1 + SAME)) return "No schedule can be shorter: this one is optimal.";
  return `No schedule can be shorter than ${seconds(least)}.`;
}
function addRow(body, panel, { best, longest }) {
  const { answer, label } = panel, row = element("tr", "", body);
  if (!shorter(best, panel)) row.className = "best";
  const cell = (title, text, kind = "number") => element("td", text, row, { "data-label": title, class: kind });
  element("th", label + (row.className ? " ★" : ""), row, { scope: "row" });
  const length = cell("Makespan", "", "length");
  element("span", seconds(answer.makespan), length, { class: "value" });
  const track = element("span", "", length, { class: "track", "aria-hidden": "true" });
  const place = (time) => `${longest > 0 ? Math.min(100, (100 * time) / longest) : 0}%`;
  element("span", "", track, { class: "bar" }).style.width = place(answer.makespan);
  element("span", "", track, { class: "least" }).style.left = place(answer.lower_bound);
  const ratio = answer.heft_makespan > 0 ? answer.makespan / answer.heft_makespan : null;
  const against = cell("Ratio to HEFT", ratio === null ? "–" : `${ratio.toFixed(3)} `);
  if (ratio !== null && Math.abs(ratio - 1) > SAME)
    element("span", percent(ratio), against, { class: ratio < 1 ? "good" : "bad" });
  const gap = answer.lower_bound > 0 ? percent(answer.makespan / answer.lower_bound) : "–";
  cell("Over the bound", gap);
  cell("Mean turnaround", seconds(answer.mean_turnaround));
  cell("Took", took(answer.seconds));
  cell("Whose it is", answer.winner === answer.scheduler ? answer.winner : `${answer.winner}, kept by the guard`, "");
  const network = cell("Network", answer.model ? `${answer.model} ` : "–", "");
  if (answer.model_version) {
    const version = element("code", answer.model_version.slice(0, VERSION), network, { class: "small" });
    version.title = answer.model_version;
  }
  saves(cell("Save", "", "saving"), panel);
}
function saves(cell, panel) {
  const name = `${compared.name}-${panel.label}`;
  const forms = [
    ["JSON", `${name}.json`, "application/json", () => asJson(panel)],
    ["CSV", `${name}.csv`, "text/csv", () => asCsv(panel)],
    ["Trace", `${name}.trace.json`, "application/json", () => asTrace(panel, compared.name)],
  ];
  for (const [title, file, type, write] of forms) {
    const button = element("button", title, cell, { type: "button", "aria-label": `Save ${panel.label} as ${title}` });
    button.onclick = () => save(file, new Blob([write()], { type }));
  }
}
function save(file, data) {
  const link = element("a", "", null, { href: URL.createObjectURL(data) });
  link.download = file.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(-120);
  link.click();
  // Not at once: the browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
