// A schedule as JSON and CSV, in the forms of `deepsched schedule --json` and `--csv`.
import { exact, quoted } from "./exact.js";

export function asJson({ answer }) {
  const numbers = ["makespan", "mean_turnaround", "mean_waiting", "lower_bound", "seconds"];
  const head = [`"scheduler": ${quoted(answer.scheduler)}`, `"winner": ${quoted(answer.winner)}`];
  for (const key of numbers) head.push(`"${key}": ${exact(answer[key])}`);
  const tasks = answer.tasks.map(({ id, machine, start, finish }) =>
    `{"id": ${quoted(id)}, "machine": ${quoted(machine)}, "start": ${exact(start)}, "finish": ${exact(finish)}}`);
  return `{\n  ${[...head, `"tasks": [\n    ${tasks.join(",\n    ")}\n  ]`].join(",\n  ")}\n}\n`;
}

// A spreadsheet takes a cell that begins so for a formula; an apostrophe says that a text follows.
const FORMULA = /^['=+\-@\t\r\n＝＋－＠]/;
const PLAIN = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u;
function cell(text) {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  const bare = PLAIN.test(safe) && safe === safe.trim() && !/[",;]/.test(safe);
  return bare ? safe : `"${safe.replaceAll('"', '""')}"`;
}
export function asCsv({ answer }) {
  const { arrivals } = answer; // of a service that says when tasks arrive
  const columns = ["task", "machine", "start", "finish", ...(arrivals ? ["arrival", "waiting", "turnaround"] : []), "winner"];
  const lines = answer.tasks.map(({ id, machine, start, finish }, i) => {
    const from = arrivals?.[i], times = arrivals ? [from, start - from, finish - from] : [];
    return [cell(id), cell(machine), ...[start, finish, ...times].map(exact), cell(answer.winner)].join(",");
  });
  return `${[columns.join(","), ...lines].join("\n")}\n`;
}
