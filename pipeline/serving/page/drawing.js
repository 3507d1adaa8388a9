// What all canvases share: colours of the page, sharp lines, redrawing once a frame.
const NAMES = ["page", "card", "text", "soft", "line", "row", "parent", "child", "good"];

export const colour = {}; // of the page, light or dark
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of NAMES) colour[name] = style.getPropertyValue(`--${name}`).trim();
}

export const printing = () => document.documentElement.matches(".printing");
export const ratio = () => (printing() ? 3 : window.devicePixelRatio || 1);

// Fits a canvas to a size in CSS pixels, and empties it.
export function sized(context, width, height) {
  const { canvas } = context, by = ratio();
  canvas.width = Math.round(width * by);
  canvas.height = Math.round(height * by);
  context.setTransform(by, 0, 0, by, 0, 0);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
}
export function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
export function shortText(context, text, x, y, space) {
  const longest = Math.max(1, Math.floor(space / 6.5)); // characters
  context.fillText(text.length <= longest ? text : `${text.slice(0, longest - 1)}…`, x, y, space);
}

const waiting = new Set();
export function inNextFrame(work) { // once, however often it is asked for
  if (!waiting.size)
    requestAnimationFrame(() => {
      const all = [...waiting];
      waiting.clear();
      for (const one of all) one();
    });
  waiting.add(work);
}

// Moments for an axis of so many pixels, and what to call them: as many digits as they need to differ.
export function ticks(from, to, width) {
  const rough = (80 * (to - from)) / Math.max(width, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => power * factor >= rough * 0.999);
  if (!(step > 0 && Number.isFinite(step))) return [];
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), found = [];
  for (let k = Math.ceil(from / step); k * step <= to && found.length < 200; k++) {
    const time = k * step, more = time ? Math.round(Math.log10(Math.abs(time) / step)) + 2 : 1;
    const text = digits <= 6 && Math.abs(time) < 1e9
      ? time.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
      : String(Number(time.toPrecision(Math.min(Math.max(more, 1), 17))));
    found.push([time, `${text}\u00a0s`]);
  }
  return found;
}
