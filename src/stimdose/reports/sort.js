"use strict";
const leading = (text) => { // the number that a text begins with, as "-2.5 [-3, 1]" and "≥ 21" do; others come after
  const found = parseFloat(text.replace(/^[<>≤≥\s]+/, "").replace("−", "-").replace(/,(?=\d{3})/g, ""));
  return Number.isFinite(found) ? found : Number.MAX_VALUE;
};
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th"), table = heading.closest("table"), body = table.tBodies[0];
    const down = heading.getAttribute("aria-sort") === "ascending", sign = down ? -1 : 1;
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const { dataset, textContent: text } = row.cells[heading.cellIndex];
      return dataset.sort !== undefined ? Number(dataset.sort) : text === "–" ? null : text;
    };
    const compare = (a, b) => {
      if (a === null || b === null) return (a === null) - (b === null); // empty cells last, whichever way
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      if (typeof a === "number") return -1; // numbers before text
      if (typeof b === "number") return 1;
      const [x, y] = [leading(a), leading(b)];
      return sign * (x - y || a.localeCompare(b, undefined, { numeric: true }));
    };
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => compare(a, b));
    body.append(...rows.map(([, row]) => row));
  });
}
window.addEventListener("beforeprint", () => { // a table of more than a page stays folded, and is in its file
  for (const folded of document.querySelectorAll("details:not([open])")) {
    if (Number(folded.dataset.lines) > 60) continue;
    folded.dataset.folded = "";
    folded.open = true;
  }
});
window.addEventListener("afterprint", () => {
  for (const folded of document.querySelectorAll("details[data-folded]")) {
    delete folded.dataset.folded;
    folded.open = false;
  }
});
