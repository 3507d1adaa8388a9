// What is asked of the service: the form's machines, schedulers and options as a query.
import { $, element } from "./elements.js";
import { call } from "./service.js";
import { count } from "./words.js";

const FIRST = ["deepsched", "heft", "peft", "cpop"]; // of the list; the others can be unfolded
const CHECKED = ["deepsched", "heft"];
const SEEDS = ["machine_seed", "noise_seed"]; // one field for both

const service = { networks: new Set(["deepsched"]), limits: {} };

export async function loadSchedulers() {
  const { default: preferred, schedulers, limits } = await call("v1/schedulers");
  service.limits = limits ?? {};
  const networks = await call("v1/models").then(({ models }) => models, () => []);
  for (const one of networks) if (one.network === "deepsched") service.networks.add(one.name);
  const first = new Set([preferred, ...FIRST].filter((name) => schedulers.includes(name)));
  const checked = new Set([preferred, ...CHECKED]);
  const rest = schedulers.filter((name) => !first.has(name));
  fill($("schedulers"), [...first], checked);
  fill($("others"), rest, checked);
  $("more").hidden = !rest.length;
  $("more-title").textContent = `${rest.length} more`;
  $("job_scheduler").replaceChildren();
  for (const name of [...first, ...rest]) element("option", name, $("job_scheduler"), { value: name });
  showOptions();
}
function fill(set, names, checked) {
  for (const old of set.querySelectorAll("label")) old.remove();
  for (const name of names) {
    const label = element("label", "", set), box = element("input", "", label, { type: "checkbox" });
    box.value = name;
    box.checked = checked.has(name);
    label.append(name);
  }
}
export const chosen = () =>
  [...document.querySelectorAll("#schedulers input:checked, #others input:checked")].map((box) => box.value);
export const limits = () => service.limits;

function showOptions() { // those of the network only where it is asked
  const useful = chosen().some((name) => service.networks.has(name));
  for (const id of ["samples", "budget"]) $(id).disabled = !useful;
  const most = service.limits.max_budget_s;
  $("options-hint").textContent = useful
    ? `Samples and a search are deepsched's: more of them, shorter schedules.${most ? ` At most ${most} s; a job may search longer.` : ""}`
    : "Samples and a search are for deepsched, which is not chosen.";
  $("job_budget").disabled = !service.networks.has($("job_scheduler").value);
}

let own = { machines: 0, timed: false };
export function showMachines(found) { // what the document leaves open
  own = found?.about ?? { machines: 0, timed: false };
  for (const id of ["machines", "machine_seed"]) $(id).disabled = own.machines > 0;
  $("noise").disabled = own.timed;
  $("own").hidden = !own.machines;
  const times = own.timed ? ", and times on each" : "";
  $("own").textContent = own.machines ? `The document brings its own ${count(own.machines, "machine")}${times}.` : "";
}

const given = (id) => ($(id).disabled ? "" : $(id).value.trim());
// The problem's part of the query; the first field that is no number is named.
export function problemQuery() {
  const query = {};
  for (const id of ["machines", "machine_seed", "noise", "bandwidth"]) {
    check(id);
    const value = given(id);
    if (!value) continue;
    if (id === "machine_seed") for (const seed of SEEDS) query[seed] = value;
    else query[id] = value;
  }
  // Noise is drawn with the same seed, but not where there is none to draw.
  if (!query.noise) delete query.noise_seed;
  return query;
}
export function query(scheduler, budget = null) {
  const asked = { ...problemQuery(), scheduler, edges: "true" };
  if (!service.networks.has(scheduler)) return asked;
  for (const id of ["samples", "budget"]) check(id);
  const samples = given("samples"), search = budget ?? given("budget");
  return { ...asked, ...(samples ? { samples } : {}), ...(search ? { budget: search } : {}) };
}
export function jobBudget() {
  check("job_budget");
  return given("job_budget");
}
export class Mistake extends Error {
  constructor(message, place) {
    super(message);
    this.place = place; // the field to go to
  }
}
function check(id) {
  const field = $(id);
  if (field.disabled || field.checkValidity()) return;
  const label = field.labels[0].textContent.trim();
  throw new Mistake(`${label}: ${field.validationMessage || "it is no number"}`, field);
}

export function startAsking() {
  for (const id of ["schedulers", "others", "job_scheduler"]) $(id).addEventListener("change", showOptions);
  showOptions();
}
