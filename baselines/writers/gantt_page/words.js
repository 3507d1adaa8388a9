// The texts round the views: head, legend, search, and the critical chains as tables; then the start.
const MAX_LINKS = 1000, OPEN_LINKS = 40, OPEN_CHAINS = 2; // listed; listed at once

let matches = [], at = -1;
$("search").addEventListener("input", () => {
  const wanted = $("search").value.trim().toLowerCase();
  const quality = (name) => (name === wanted ? 0 : name.startsWith(wanted) ? 1 : name.includes(wanted) ? 2 : 3);
  const groups = [[], [], [], []];
  if (wanted) names.forEach((name, i) => groups[quality(name.toLowerCase())].push(i));
  matches = [...groups[0], ...groups[1], ...groups[2]];
  at = -1;
  $("found").textContent = wanted ? `${matches.length} found` : "";
  if (matches.length) nextMatch(1);
});
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && matches.length) nextMatch(event.shiftKey ? -1 : 1);
});
function nextMatch(by) {
  at = (at + by + matches.length) % matches.length;
  $("found").textContent = `${at + 1} of ${matches.length}`;
  reveal(matches[at]);
}

function measures({ makespan, mean_turnaround, mean_waiting, utilisation, seconds }) {
  return {
    makespan: `${round(makespan)} s`,
    "mean turnaround": `${round(mean_turnaround)} s`, "mean waiting": `${round(mean_waiting)} s`,
    utilisation: `${(100 * utilisation).toFixed(1)} %`,
    ...(seconds === undefined ? {} : { "scheduled in": `${round(seconds, 3)} s` }),
  };
}
function writeHead() {
  const bound = data.lower_bound, { makespan } = panels[0].summary, facts = {
    tasks: n.toLocaleString("en"), machines: p.toLocaleString("en"), edges: pred.length.toLocaleString("en"),
    ...(data.groups.length ? { groups: data.groups.length.toLocaleString("en") } : {}),
    "lower bound": `${round(bound)} s` +
      (!several && bound > 0 ? ` (makespan / bound ${(makespan / bound).toFixed(3)})` : ""),
    ...(origin ? { "0 on the axis": `${origin} s` } : {}),
    ...(several ? {} : measures(panels[0].summary)),
    ...(several || !panels[0].winner ? {} : { "schedule kept": `${panels[0].winner}'s` }),
  };
  $("title").textContent = `${data.problem} · ${panels.map(({ name }) => name).join(", ")}`;
  for (const [name, value] of Object.entries(facts)) {
    const pair = element("div", "", $("summary"));
    element("dt", name, pair);
    element("dd", value, pair);
  }
  for (const panel of panels.filter(({ difference }) => difference)) {
    const line = element("p", "", $("differences"));
    element("b", `${panel.name} ${panel.difference} against ${panel.against}`, line);
    const own = round(panel.summary.makespan, 5), first = round(makespan, 5);
    line.append(own === first ? `: ${own} s both` : `: ${own} s instead of ${first} s`);
  }
  if (several) panels.forEach(writeTitle);
  const least = AXIS + panels.length * LEAST_PANEL;
  const best = AXIS + panels.length * (STRIP + Math.min(p * BEST_ROW, MAX_HEIGHT)) + 2;
  $("plot").style.height = `max(${Math.min(least, best)}px, min(${best}px, 72vh))`;
  if (hasGraph) $("dag").style.minHeight = `${Math.min(480, Math.max(260, 18 * layout.lines))}px`;
}
function writeTitle(panel) {
  const { makespan, ...others } = measures(panel.summary);
  panel.title = element("div", "", $("plot"));
  panel.title.className = "panel";
  element("b", panel.name, panel.title);
  element("span", `makespan ${makespan}`, panel.title);
  if (panel.winner) element("span", `(${panel.winner}'s is kept)`, panel.title);
  if (panel.difference) element("span", `${panel.difference} against ${panel.against}`, panel.title);
  const rest = Object.entries(others).map(([name, value]) => `${name} ${value}`).join(" · ");
  element("span", rest, panel.title).className = "soft";
}

function writeLegend() {
  const counts = new Uint32Array(data.kinds.length), legend = $("legend");
  for (const k of kind) counts[k]++;
  const buttons = data.kinds.map((name, k) => {
    const button = element("button", name, legend);
    button.style.setProperty("--swatch", data.colours[k][0]);
    button.title = `${counts[k].toLocaleString("en")} tasks; press to hide or show them`;
    button.onclick = () => { if (!hidden.delete(k)) hidden.add(k); filter(); };
    return button;
  });
  const all = element("button", "Show all", legend);
  all.id = "all";
  all.onclick = () => { hidden.clear(); filter(); };
  const filter = () => {
    panels.forEach(showKinds);
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(!hidden.has(k))));
    all.hidden = !hidden.size;
    repaint();
  };
  filter();
  legend.hidden = buttons.length === 1;
  const mark = (text, name) => { element("span", text, $("marks")).className = name; };
  mark("critical chain", "chain");
  mark("pointed at", "picked");
  mark("its parents", "parents");
  mark("its children", "children");
  mark("makespan", "end");
  if (several) mark(`makespan of ${panels[0].name}`, "first");
  mark("lower bound", "bound");
}

const reasons = {
  arrival: "arrival", input: "input", machine: "machine", nothing: "nothing",
};
function writeChain(panel) {
  const { links } = panel, total = { task: [0, 0], transfer: [0, 0], idle: [0, 0] };
  for (const { step, from, to } of links) {
    total[step][0]++;
    total[step][1] += to - from;
  }
  const part = (step, word) => `${total[step][0].toLocaleString("en")} ${word}${total[step][0] === 1 ? "" : "s"} ` +
    `${round(total[step][1], 4)} s`;
  const box = element("details", "", $("chains")), head = element("summary", "", box);
  element("b", `Critical chain of ${panel.name}`, head);
  const parts = [part("task", "task"), part("transfer", "transfer")];
  if (total.idle[0]) parts.push(`idle ${round(total.idle[1], 4)} s`);
  if (links[0].from - origin > 0) parts.unshift(`arrival at ${moment(links[0].from, 4)}`);
  element("span", `: ${parts.join(" + ")}`, head).className = "soft";
  const fill = () => { if (!box.querySelector("table")) writeTable(panel, element("div", "", box)); };
  box.addEventListener("toggle", () => { if (box.open) fill(); });
  panel.chainBox = { box, fill };
  if (links.length <= OPEN_LINKS && panels.length <= OPEN_CHAINS) { box.open = true; fill(); }
}
function writeTable(panel, box) {
  const table = element("table", "", box), head = element("tr", "", element("thead", "", table));
  for (const title of ["start, s", "takes, s", "task or transfer", "machine", "waited for"])
    element("th", title, head).className = title.endsWith(" s") ? "number" : "";
  const body = element("tbody", "", table), { links, machine } = panel;
  for (const { step, task, parent, reason, from, to } of links.slice(0, MAX_LINKS)) {
    const line = element("tr", "", body);
    line.className = step;
    for (const value of [round(from - origin, 6), round(to - from, 6)]) element("td", value, line).className = "number";
    const what = element("td", "", line), host = machines[machine[task]];
    if (step === "task") {
      element("button", names[task], what).onclick = () => reveal(task, panel);
      element("td", host, line);
      element("td", reasons[reason], line);
    } else {
      what.textContent = step === "idle" ? `${names[task]} waits` : `${names[parent]} → ${names[task]}`;
      element("td", step === "idle" ? host : `${machines[machine[parent]]} → ${host}`, line);
      element("td", step === "idle" ? reasons.nothing : "", line);
    }
  }
  if (links.length > MAX_LINKS) element("p", `and ${(links.length - MAX_LINKS).toLocaleString("en")} more`, box);
}

const toggle = (button, change) => {
  button.onclick = () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    change(on);
  };
};
$("in").onclick = () => zoomTime(1.4);
$("out").onclick = () => zoomTime(1 / 1.4);
$("fit").onclick = fit;
toggle($("chain"), (on) => { chainShown = on; repaint(); });
toggle($("graph"), (on) => { graphShown = on; $("dag").hidden = !on; });
// Paper is white and has its own width.
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("printing");
  panels.forEach(({ chainBox: { fill } }) => fill());
  readColours();
  resize(true);
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("printing");
  readColours();
  resize();
});

writeHead();
writeLegend();
panels.forEach(writeChain);
$("graph").hidden = $("dag").hidden = !hasGraph;
readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); repaint(); });
const watch = new ResizeObserver(() => { if (!document.documentElement.matches(".printing")) resize(); });
watch.observe($("plot"));
watch.observe($("dagbox"));
