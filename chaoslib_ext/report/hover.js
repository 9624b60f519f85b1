"use strict";
(() => {
const put = (parent, node, name) => (node.setAttribute("class", name), parent.appendChild(node));
const box = (parent, name) => put(parent, document.createElement("div"), name);
const place = node => node.getBoundingClientRect();
const spoken = box(document.querySelector("main"), "spoken");
spoken.setAttribute("aria-live", "polite");
let moment = -1;

const charts = [...document.querySelectorAll("svg[data-end]")].map(svg => {
  const figure = svg.parentNode, table = figure.querySelector("table");
  const [heads, ...cells] = table ? [...table.rows].map(row => [...row.cells].map(cell => cell.textContent)) : [];
  const rows = new Map(cells.map(row => [parseFloat(row[0]), row]));
  const step = table ? cells[0][0].split("–").reduce((from, to) => to - from) : 0;
  const hair = put(svg, document.createElementNS(svg.namespaceURI, "rect"), "hair");
  return {svg, figure, heads, rows, step, hair, end: +svg.dataset.end, tip: table && box(figure, "tip")};
});

const hide = () => {
  moment = -1;
  spoken.textContent = "";
  for (const {hair, tip} of charts) [hair, tip || hair].forEach(node => node.style.display = "none");
};

const show = (second, source) => {
  let said;
  moment = Math.min(source.end - 1, Math.max(0, Math.floor(second)));
  for (const {svg, figure, heads, rows, step, hair, end, tip} of charts) {
    const wide = step || source.step, from = Math.floor(moment / wide) * wide, left = from / end, right = Math.min(1, left + wide / end);
    for (const [key, value] of [["x", left], ["width", right - left], ["height", 1]]) hair.setAttribute(key, value * 100 + "%");
    hair.style.display = "";
    if (!tip) continue;
    const row = rows.get(from), cells = row ? row.slice(1).map((cell, at) => heads[at + 1] + " " + cell) : ["no samples"];
    const told = [`T+${from}–${from + wide} s`, ...cells];
    if (svg === source.svg) said = told.join(", ");
    tip.textContent = told.join("\n");
    tip.style.display = "";
    const room = place(svg).width, own = tip.offsetWidth, beside = right < .5 ? right * room + 6 : left * room - own - 6;
    tip.style.left = Math.max(0, Math.min(beside, room - own)) + "px";
    tip.style.top = place(svg).top - place(figure).top + "px";
  }
  return said;
};

hide();
for (const chart of charts) if (chart.tip) {
  const {svg, end, step} = chart, on = svg.addEventListener.bind(svg);
  const point = event => show((event.clientX - place(svg).left) / place(svg).width * end, chart);
  on("pointermove", point);
  on("pointerdown", point);
  on("pointerleave", event => event.pointerType === "mouse" && document.activeElement !== svg && hide());
  on("blur", hide);
  on("keydown", event => {
    const way = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    spoken.textContent = show(moment < 0 ? (way < 0 ? end : 0) : moment + way * step, chart);
  });
  svg.setAttribute("tabindex", 0);
}
document.addEventListener("keydown", event => event.key === "Escape" && hide());
})();
