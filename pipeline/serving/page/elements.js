// The document's elements. Data only ever becomes text of one, never markup.
export const $ = (id) => document.getElementById(id);

export function element(tag, text = "", parent = null, about = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(about)) made.setAttribute(name, value);
  parent?.append(made);
  return made;
}
