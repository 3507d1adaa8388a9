// Numbers as people read them.
const SPACE = "\u00a0"; // a number stays with its unit

const plain = (value, digits) => {
  const size = Math.abs(value);
  if (value && (size < 1e-4 || size >= 1e12)) return String(Number(value.toPrecision(digits)));
  return value.toLocaleString("en", { maximumSignificantDigits: digits }).replace("-", "−");
};
export const seconds = (value, digits = 5) => `${plain(value, digits)}${SPACE}s`;
export const moment = (value) => seconds(value, 7); // of a schedule, where neighbours must differ
export const took = (value) => (value < 1 ? `${plain(1000 * value, value < 1e-3 ? 2 : 3)}${SPACE}ms` : seconds(value, 3));
export const count = (value, one, several = `${one}s`) =>
  `${value.toLocaleString("en")} ${value === 1 ? one : several}`;
export const percent = (ratio) => { // 0.912 is −8.8 %
  const value = 100 * (ratio - 1), shown = Math.abs(value).toFixed(Math.abs(value) < 1000 ? 1 : 0);
  return `${Number(shown) ? (value < 0 ? "−" : "+") : ""}${shown}${SPACE}%`;
};
export const bytes = (size) => (size < 1000 ? `${size}${SPACE}bytes` : size < 1e6 ? `${plain(size / 1e3, 2)}${SPACE}kB` : `${plain(size / 1e6, 2)}${SPACE}MB`);
export const oneLine = (text) => String(text).split(/\s+/).filter(Boolean).join(" ");
