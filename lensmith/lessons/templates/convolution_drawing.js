// What the page draws: numbers in cells, planes on a canvas.

function element(name, settings = {}, ...children) {
  const made = Object.assign(document.createElement(name), settings);
  made.append(...children);
  return made;
}

function shown(value) {    // at most three figures behind the point
  const rounded = Math.round(value * 1000) / 1000;
  return String(rounded === 0 ? 0 : rounded).replace("-", "\u2212");
}

function short(value) {    // as `shown`, and never wider than five signs, as a cell holds
  const text = shown(value);
  return text.length <= 5 ? text : shown(Number(value.toPrecision(Math.abs(value) >= 1 ? 3 : 2)));
}

const BLUE = [0, 114, 178], ORANGE = [213, 94, 0];

function colourOf(value, most, signed) {    // gray from 0 to `most`, or white at 0, orange above and blue below
  const share = most > 0 ? Math.max(-1, Math.min(1, value / most)) : 0;
  if (!signed) return Array(3).fill(Math.round(255 * Math.max(share, 0)));
  const end = share < 0 ? BLUE : ORANGE;
  return end.map((part) => Math.round(255 + (part - 255) * Math.abs(share)));
}

function cell(value, colour, name = "") {
  const [red, green, blue] = colour;
  const made = element("div", { className: `cell ${name}`, textContent: short(value), title: shown(value) });
  made.style.background = `rgb(${red} ${green} ${blue})`;
  made.style.color = 0.3 * red + 0.59 * green + 0.11 * blue > 140 ? "#111" : "#fff";
  made.dataset.value = value;
  return made;
}

function fillGrid(grid, plane, look) {    // look(value, row, column) -> the cell
  grid.style.setProperty("--columns", plane[0]?.length || 1);
  grid.replaceChildren(...plane.flatMap((line, row) => line.map((value, column) => look(value, row, column))));
}

function strongest(plane) {
  return plane.reduce((most, line) => line.reduce((top, value) => Math.max(top, Math.abs(value)), most), 0);
}

function hasNegative(plane) {
  return plane.some((line) => line.some((value) => value < 0));
}

function paint(canvas, rows, columns, colourAt) {    // one canvas pixel a cell; CSS makes it larger
  canvas.width = columns;
  canvas.height = rows;
  canvas.classList.add("pixels");
  canvas.style.aspectRatio = `${columns} / ${rows}`;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      image.data.set([...colourAt(row, column), 255], 4 * (row * columns + column));
  context.putImageData(image, 0, 0);
}

function paintPlane(canvas, plane) {    // a map: gray, or in two colours where it has negative values
  const most = strongest(plane), signed = hasNegative(plane);
  paint(canvas, plane.length, plane[0].length, (row, column) => colourOf(plane[row][column], most, signed));
}

function figureOf(canvas, caption) {
  return element("figure", {}, canvas, element("figcaption", { innerHTML: caption }));
}
