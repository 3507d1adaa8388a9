// A job's progress: the best makespan so far, as steps down from the first.
import { colour, line, sized, ticks } from "./drawing.js";
import { seconds } from "./words.js";

const LEFT = 74, RIGHT = 14, TOP = 14, BOTTOM = 26; // px around the curve

// `progress`: history of [s, makespan], heft's makespan or null, how many s until now, until the end.
export function drawCurve(canvas, { history, heft, now, end }) {
  const width = canvas.parentElement.clientWidth, height = canvas.parentElement.clientHeight;
  const context = canvas.getContext("2d");
  sized(context, width, height);
  const values = history.map(([, makespan]) => makespan).concat(heft > 0 ? [heft] : []);
  canvas.setAttribute("aria-label", inWords(history, heft));
  if (!values.length) return;
  const low = Math.min(...values), high = Math.max(...values), room = (high - low) * 0.15 || high * 0.02 || 1;
  const until = Math.max(end, now, history.at(-1)?.[0] ?? 0, 1e-3);
  const x = (time) => LEFT + (time / until) * (width - LEFT - RIGHT);
  const y = (value) => TOP + ((high + room - value) / (high - low + 2 * room)) * (height - TOP - BOTTOM);
  context.strokeStyle = colour.line;
  context.fillStyle = colour.soft;
  for (const [time, text] of ticks(0, until, width - LEFT - RIGHT)) {
    const at = Math.round(x(time)) + 0.5;
    line(context, at, TOP, at, height - BOTTOM + 4);
    context.textAlign = at + 20 > width ? "right" : "center";
    context.fillText(text, Math.min(at, width - 4), height - 10);
  }
  context.textAlign = "right";
  const levels = low === high ? [low] : [low, high];
  for (const value of levels) context.fillText(seconds(value, 4), LEFT - 8, y(value), LEFT - 12);
  context.textAlign = "left";
  if (heft > 0) {
    context.setLineDash([5, 4]);
    context.strokeStyle = colour.soft;
    context.lineWidth = 1.5;
    line(context, LEFT, y(heft), width - RIGHT, y(heft));
    context.setLineDash([]);
    context.fillText("HEFT", LEFT + 6, y(heft) - 8);
  }
  if (!history.length) return;
  context.strokeStyle = context.fillStyle = colour.child;
  context.lineWidth = 2.5;
  context.beginPath();
  history.forEach(([time, makespan], k) => {
    if (k) context.lineTo(x(time), y(history[k - 1][1]));
    else context.moveTo(x(time), y(makespan));
    context.lineTo(x(time), y(makespan));
  });
  const last = history.at(-1)[1];
  context.lineTo(x(Math.max(now, history.at(-1)[0])), y(last));
  context.stroke();
  context.beginPath();
  context.arc(x(Math.max(now, history.at(-1)[0])), y(last), 4, 0, 7);
  context.fill();
}
function inWords(history, heft) {
  if (!history.length) return "No schedule yet";
  const steps = history.map(([time, makespan]) => `${seconds(makespan)} after ${seconds(time, 3)}`);
  return `Best makespan so far: ${steps.slice(-5).join(", ")}${heft > 0 ? `; HEFT ${seconds(heft)}` : ""}`;
}
