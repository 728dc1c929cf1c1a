"use strict";
(() => {
  const root = document.documentElement;
  const remember = (value) => { try { localStorage.setItem("theme", value); } catch { /* a page opened from disk may have no storage */ } };
  const recalled = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const known = recalled();
  if (known === "light" || known === "dark") root.dataset.theme = known;
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    remember(root.dataset.theme);
  });

  // Tables: a click on a column's head sorts by it, numbers from the highest down first.
  const valueOf = (cell) => cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent.trim();
  const compare = (a, b) => {
    const empty = (v) => v === "–" || v === "";
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const columns = body.rows.length ? body.rows[0].cells.length : 0;
    // Heads from left to right: those of the second row stand below the spanning ones.
    const rows = [...table.tHead.rows];
    const heads = [...rows[0].cells].filter((cell) => cell.colSpan === 1 && cell.className !== "over");
    if (rows[1]) heads.push(...rows[1].cells);
    if (heads.length !== columns) continue;
    heads.forEach((head, column) => {
      head.dataset.sort = "";
      head.tabIndex = 0;
      const sort = () => {
        const numeric = head.classList.contains("n");
        const next = head.ariaSort ? (head.ariaSort === "descending" ? "ascending" : "descending") : (numeric ? "descending" : "ascending");
        heads.forEach((other) => { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const sorted = [...body.rows].sort((a, b) => {
          const [x, y] = [valueOf(a.cells[column]), valueOf(b.cells[column])];
          if (x === "–" || y === "–") return compare(x, y);
          return sign * compare(x, y);
        });
        body.append(...sorted);
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
      });
    });
  }

  // Charts: the values of every line at the pointer, read off the drawn paths.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const vertices = (path) => [...path.getAttribute("d").matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)].map((m) => [Number(m[1]), Number(m[2])]);
  const digits = (value) => Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(4);
  for (const chart of document.querySelectorAll("svg.chart")) {
    if (!chart.querySelector("path[data-name]")) continue;
    const [x0, x1, px0, px1] = chart.dataset.x.split(" ").map(Number);
    const [y0, y1, py0, py1] = chart.dataset.y.split(" ").map(Number);
    const [left, top, right, bottom] = chart.dataset.plot.split(" ").map(Number);
    const cross = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cross.setAttribute("class", "cross");
    cross.setAttribute("y1", top);
    cross.setAttribute("y2", bottom);
    cross.style.display = "none";
    chart.append(cross);
    const leave = () => { tip.hidden = true; cross.style.display = "none"; };
    chart.addEventListener("pointerleave", leave);
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const x = (event.clientX - box.left) * chart.viewBox.baseVal.width / box.width;
      if (x < left || x > right) return leave();
      cross.setAttribute("x1", x);
      cross.setAttribute("x2", x);
      cross.style.display = "";
      const at = x0 + (x - px0) / (px1 - px0) * (x1 - x0);
      tip.replaceChildren();
      const row = (name, value) => {
        const line = document.createElement("div");
        const [a, b] = [document.createElement("i"), document.createElement("b")];
        a.textContent = name;
        b.textContent = value;
        line.append(a, b);
        tip.append(line);
      };
      row(chart.dataset.xLabel, digits(at));
      for (const path of chart.querySelectorAll("path[data-name]")) {
        let near = null;
        for (const point of vertices(path)) if (near === null || Math.abs(point[0] - x) < Math.abs(near[0] - x)) near = point;
        if (near === null) continue;
        const value = y0 + (near[1] - py0) / (py1 - py0) * (y1 - y0);
        row(path.dataset.name, digits(value) + (path.dataset.unit ? " " + path.dataset.unit : ""));
      }
      tip.hidden = false;
      const wide = tip.offsetWidth;
      const beyond = event.pageX + 16 + wide > root.clientWidth + scrollX;
      tip.style.left = Math.max(4, beyond ? event.pageX - wide - 12 : event.pageX + 16) + "px";
      tip.style.top = event.pageY + 14 + "px";
    });
  }

  // ROC and precision-recall curves of one tag.
  for (const block of document.querySelectorAll(".operating")) {
    const data = JSON.parse(document.getElementById(block.dataset.curves).textContent);
    const pick = block.querySelector(".pick");
    pick.hidden = false;
    const paths = [...block.querySelectorAll("path[data-group]")];
    const first = paths.map((path) => path.getAttribute("d"));
    pick.querySelector("select").addEventListener("change", (event) => {
      const tag = event.target.value;
      paths.forEach((path, index) => {
        if (tag === "") return path.setAttribute("d", first[index]);
        const kind = path.closest("figure").dataset.kind;
        const values = data[tag][kind][Number(path.dataset.group)];
        const chart = path.closest("svg");
        const [, , px0, px1] = chart.dataset.x.split(" ").map(Number);
        const [, , py0, py1] = chart.dataset.y.split(" ").map(Number);
        const last = values ? values.length - 1 : 0;
        path.setAttribute("d", (values || []).map((value, place) => {
          const x = kind === "roc" ? (place / last) ** 2 : place / last;
          return (place ? "L" : "M") + (px0 + x * (px1 - px0)).toFixed(1) + " " + (py0 + value / 1000 * (py1 - py0)).toFixed(1);
        }).join(""));
      });
    });
  }
})();
