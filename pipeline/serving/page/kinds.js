// Kinds of tasks, for colours: a name without the number or identifier at its end.
const COUNTER = /[\W_]+(?:ID[\W_]*\d+|\d+|(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{6,}(?:-[0-9a-fA-F]{4,}){0,4})[\W_]*$/;
const MOST = 8; // colours that can be told apart; rarer kinds share one more
const LONGEST = 200; // characters of a name that are looked at

// After Okabe and Ito (2008), each with that of the text on it; the last one is for all others.
export const COLOURS = [
  ["#56b4e9", "#111"], ["#e69f00", "#111"], ["#009e73", "#111"], ["#cc79a7", "#111"], ["#f0e442", "#111"],
  ["#d55e00", "#111"], ["#0072b2", "#fff"], ["#5c5c5c", "#fff"], ["#c4c4c4", "#111"],
];

function kindOf(name) {
  let kind = name.slice(0, LONGEST), shorter;
  while ((shorter = kind.replace(COUNTER, "")) !== kind) kind = shorter;
  return /^[a-z]*\d+$/i.test(kind) ? kind.replace(/\d+$/, "") : kind;
}
// The kinds, most frequent first, and which of them each task is.
export function taskKinds(names) {
  const own = names.map(kindOf), counts = new Map();
  for (const kind of own) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const order = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).map(([kind]) => kind);
  const number = new Map(order.map((kind, k) => [kind, Math.min(k, MOST)]));
  const kinds = order.slice(0, MOST).map((kind) => kind || "task");
  if (order.length > MOST) kinds.push("other");
  return { kinds, kind: Uint8Array.from(own, (kind) => number.get(kind)) };
}
