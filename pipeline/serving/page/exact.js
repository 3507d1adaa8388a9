// Numbers and texts as `deepsched` itself writes them into files, so that those saved here are equal.
export function exact(value) { // the shortest digits that bring a double back
  const size = Math.abs(value);
  if (value && (size < 1e-4 || size >= 1e16))
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
export const quoted = (text) => JSON.stringify(text).replace(
  /[\u007f-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
