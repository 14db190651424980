"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("cell");

  function element(tag, text, name) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  function image(index, label) {
    const item = element("li");
    const sprite = data.sprites[index];
    if (sprite) {
      const shown = element("span", undefined, "pic");
      shown.setAttribute("role", "img");
      shown.setAttribute("aria-label", label);
      shown.style.setProperty("--c", sprite[0]);
      shown.style.setProperty("--r", sprite[1]);
      item.append(shown);
    }
    const confidence = (100 * data.confidence[index]).toFixed(0) + "%";
    const name = sprite ? "" : (data.names[index] || "#" + index) + " ";
    item.append(element("span", name + confidence));
    item.title = (data.names[index] || "image " + index) + ", confidence " + confidence;
    return item;
  }

  function open(button) {
    const key = button.dataset.cell;
    const [row, column] = key.split(",").map(Number);
    const shown = data.cells[key];
    const total = data.total[key];
    const right = row === column;
    const what = right
      ? data.classes[row] + " predicted correctly"
      : data.classes[row] + " predicted as " + data.classes[column];
    const count = total === 1 ? "1 image" : total + " images";
    const part = shown.length < total ? ", the " + shown.length + " most confident shown" : "";
    const list = element("ul", undefined, "strip");
    for (const index of shown) list.append(image(index, data.classes[row]));
    panel.replaceChildren(element("h3", what + ": " + count + part), list);
    panel.hidden = false;
    for (const other of document.querySelectorAll("[data-cell][aria-pressed]")) {
      other.removeAttribute("aria-pressed");
    }
    button.setAttribute("aria-pressed", "true");
    panel.scrollIntoView({ block: "nearest" });
  }

  const matrix = document.querySelector(".matrix");
  matrix.addEventListener("click", (event) => {
    const button = event.target.closest("[data-cell]");
    if (button) open(button);
  });

  // Arrows go to the next cell that has images.
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  matrix.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    const button = event.target.closest("[data-cell]");
    if (!step || !button) return;
    let [row, column] = button.dataset.cell.split(",").map(Number);
    const size = data.classes.length;
    do {
      row += step[0];
      column += step[1];
      const next = matrix.querySelector('[data-cell="' + row + "," + column + '"]');
      if (next) {
        event.preventDefault();
        next.focus();
        return;
      }
    } while (row >= 0 && column >= 0 && row < size && column < size);
  });

  for (const table of document.querySelectorAll(".sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "descending";
        const rows = [...table.tBodies[0].rows];
        const value = (row) => {
          const cell = row.cells[column];
          const number = cell.querySelector("data");
          // A dash, for a class that was not measured, comes below every number.
          if (cell.textContent === "–") return -1;
          return number ? Number(number.value) : cell.textContent;
        };
        rows.sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          const order = typeof x === "number" ? x - y : x.localeCompare(y);
          return up ? order : -order;
        });
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        table.tBodies[0].append(...rows);
      });
    });
  }
})();
