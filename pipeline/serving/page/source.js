// The workflow: a file that was dropped or chosen, or the text of the box.
import { $ } from "./elements.js";
import { bytes, count } from "./words.js";

const MOST_SHOWN = 200_000; // bytes; a longer file is not put into the box
const JSON_TYPE = "application/json", ANY_TYPE = "application/octet-stream";

let file = null; // { name, body }: one that the box does not show
let name = ""; // of what the box shows
let changed = () => {};

// What is to be scheduled: { name, body, type, about }, or null. `about` is what its text tells.
export function source() {
  const text = $("text").value;
  if (file === null && !text.trim()) return null;
  const body = file === null ? text : file.body;
  const parsed = typeof body === "string" ? asObject(body) : null;
  return {
    name: (file === null ? name : file.name) || "workflow",
    body,
    type: parsed ? JSON_TYPE : ANY_TYPE,
    about: describe(parsed),
  };
}
const last = { text: null, value: null }; // so that a large document is parsed once
function asObject(text) {
  if (text === last.text) return last.value;
  const value = asValue(text);
  last.text = text;
  last.value = value && typeof value === "object" && !Array.isArray(value) ? value : null;
  return last.value;
}
// As far as the JSON formats tell at a glance: tasks, machines (0: none of its own), whether times
// are given for each machine. The service knows better.
function describe(document) {
  if (!document) return { tasks: 0, machines: 0, timed: false };
  const { workflow, task_graph: graph, network } = document;
  const tasks = [document.tasks, document.nodes, graph?.tasks, workflow?.specification?.tasks, workflow?.tasks]
    .find(Array.isArray) ?? [];
  const given = document.graph?.machines;
  const own = [document.machines, network?.nodes, typeof given === "string" ? asValue(given) : given]
    .find(Array.isArray) ?? [];
  const timed = tasks[0]?.etc ?? null;
  return {
    tasks: tasks.length,
    machines: own.length || (Array.isArray(timed) ? timed.length : 0),
    timed: timed !== null,
  };
}
function asValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function showText(text, called) {
  file = null;
  name = called;
  $("text").value = text;
  say();
}
export async function take(given) {
  const data = new Uint8Array(await given.arrayBuffer());
  let text = null; // of a file that is packed or no UTF-8 there is none
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch { /* it is sent as it is */ }
  if (text?.includes("\0")) text = null;
  const called = given.name.replace(/\.(gz|bz2|xz|zip)$/i, "").replace(/\.\w{1,8}$/, "");
  if (text !== null && data.length <= MOST_SHOWN) {
    showText(text, called);
    return;
  }
  $("text").value = "";
  file = { name: called, body: text ?? data, title: given.name, size: data.length };
  say();
}
function say() {
  const found = source(), parts = [];
  if (found) {
    const size = file?.size ?? new Blob([found.body]).size;
    if (file || name) parts.push(file?.title ?? name);
    if (found.about.tasks) parts.push(count(found.about.tasks, "task"));
    parts.push(bytes(size));
  }
  $("source").textContent = parts.join(" · ");
  $("clear").hidden = !found;
  changed(found);
}

export function startSource(whenChanged) {
  changed = whenChanged;
  $("text").addEventListener("input", () => {
    file = null;
    name = "";
    say();
  });
  $("clear").onclick = () => {
    showText("", "");
    $("text").focus();
  };
  $("file").onchange = async () => {
    const [given] = $("file").files;
    if (given) await take(given);
    $("file").value = ""; // so that the same file can be chosen again after it was changed
  };
  let inside = 0; // dragenter and dragleave come for each element that is crossed
  const mark = (by) => {
    inside = Math.max(0, inside + by);
    $("drop").classList.toggle("over", inside > 0);
  };
  const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => hasFile(event) && mark(1));
  addEventListener("dragleave", (event) => hasFile(event) && mark(-1));
  addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    inside = 0;
    mark(0);
    const [given] = event.dataTransfer.files;
    if (given) take(given);
  });
  say();
}
