"use strict";
// Every array of the step as heat maps, and the arithmetic behind the cell that is pointed at.
const WRITTEN = 220;      // values up to which numbers are written into the cells at once
const LARGEST = 6000;     // values up to which they can be
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const GROUND = dark ? [20, 25, 31] : [255, 255, 255], COLD = [0, 114, 178], WARM = [224, 122, 0];

function floats(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer), values = new Float32Array(bytes.length / 4);
  for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
  return values;
}

const known = {};
function array(name) {
  if (!known[name]) {
    const values = floats(ARRAYS[name].values), shape = ARRAYS[name].shape;
    let most = 0;
    for (const value of values) most = Math.max(most, Math.abs(value));
    known[name] = { name, shape, values, most: most || 1 };
  }
  return known[name];
}

// How an array is laid out: so many maps of rows x columns; a vector is read row by row.
function layout(shape) {
  if (shape.length === 1) {
    const columns = Math.min(shape[0], 32);
    return { maps: 1, rows: Math.ceil(shape[0] / columns), columns };
  }
  const [rows, columns] = shape.slice(-2);
  return { maps: shape.slice(0, -2).reduce((a, b) => a * b, 1), rows, columns };
}

function colour(fraction) {
  const end = fraction < 0 ? COLD : WARM, part = Math.sqrt(Math.min(1, Math.abs(fraction)));
  return "rgb(" + GROUND.map((low, i) => Math.round(low + (end[i] - low) * part)).join() + ")";
}

function brief(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 0.01 ? value.toFixed(2) : value.toExponential(0);
}

const exact = value => value === 0 ? "0" : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? value.toFixed(5) : value.toExponential(4);

function draw(figure, written) {
  const data = array(figure.dataset.array), { maps, rows, columns } = layout(data.shape), box = figure.querySelector(".maps");
  const cell = written ? 40 : columns > 64 ? Math.max(2, Math.floor(620 / columns)) : Math.max(3, Math.floor(Math.min(120, 900 / Math.sqrt(maps)) / columns));
  box.textContent = "";
  for (let map = 0; map < maps; map++) {
    const canvas = document.createElement("canvas"), brush = canvas.getContext("2d");
    canvas.width = columns * cell; canvas.height = rows * cell;
    canvas.dataset.map = map; canvas.dataset.cell = cell;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", data.name + (maps > 1 ? ", map " + map : ""));
    brush.font = "11px system-ui, sans-serif"; brush.textAlign = "center"; brush.textBaseline = "middle";
    for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
      const place = (map * rows + row) * columns + column;
      if (place >= data.values.length) break;
      const value = data.values[place], part = value / data.most;
      brush.fillStyle = colour(part);
      brush.fillRect(column * cell, row * cell, cell, cell);
      if (written) {
        brush.fillStyle = dark ? "#fff" : Math.sqrt(Math.abs(part)) > 0.75 && part < 0 ? "#fff" : "#1d2733";
        brush.fillText(brief(value), (column + 0.5) * cell, (row + 0.5) * cell);
      }
    }
    box.append(canvas);
  }
}

function position(shape, place) {
  const at = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) { at.unshift(place % shape[axis]); place = Math.floor(place / shape[axis]); }
  return at;
}

function table(caption, rows, marked) {
  const text = rows.map((row, y) => "<tr>" + row.map((value, x) => `<td${marked && marked(y, x) ? ' class="win"' : ""}>${value === null ? "" : brief(value)}</td>`).join("") + "</tr>").join("");
  return `<table><caption>${caption}</caption>${text}</table>`;
}

// The values of a window in channel `channel`; what lies beyond the edge is `beyond`.
function window_of(input, layer, channel, row, column, beyond) {
  const [, height, width] = input.shape, dilation = layer.dilation || 1, lines = [];
  for (let i = 0; i < layer.kernel; i++) {
    const line = [];
    for (let j = 0; j < layer.kernel; j++) {
      const y = row * layer.stride - layer.padding + i * dilation, x = column * layer.stride - layer.padding + j * dilation;
      line.push(y < 0 || x < 0 || y >= height || x >= width ? beyond : input.values[(channel * height + y) * width + x]);
    }
    lines.push(line);
  }
  return lines;
}

const HOW = {
  NumpyConvolution(name, layer, at) {
    const input = array(name + ".input"), weight = array(name + ".weight"), bias = array(name + ".bias").values[at[0]];
    const [, channels, kernel] = weight.shape, parts = [], sums = [];
    for (let channel = 0; channel < channels; channel++) {
      const seen = window_of(input, layer, channel, at[1], at[2], 0), filter = [];
      let sum = 0;
      for (let i = 0; i < kernel; i++) {
        filter.push([]);
        for (let j = 0; j < kernel; j++) {
          filter[i].push(weight.values[((at[0] * channels + channel) * kernel + i) * kernel + j]);
          sum += filter[i][j] * seen[i][j];
        }
      }
      sums.push(sum);
      parts.push(table(channels > 1 ? `window, channel ${channel}` : "window", seen) + table(`weight of filter ${at[0]}`, filter) + `<p>their products add up to ${exact(sum)}</p>`);
    }
    const total = sums.reduce((a, b) => a + b, bias);
    return `= ${sums.map(exact).join(" + ")} + ${exact(bias)} (bias) = <b>${exact(total)}</b><div>${parts.join("")}</div>`;
  },
  NumpyMaxPool(name, layer, at) {
    const seen = window_of(array(name + ".input"), layer, at[0], at[1], at[2], -Infinity), most = Math.max(...seen.flat());
    return "= the largest of its window " + table("", seen, (y, x) => seen[y][x] === most);
  },
  NumpyAveragePool(name, layer, at) {
    return "= the mean of its window " + table("", window_of(array(name + ".input"), layer, at[0], at[1], at[2], 0));
  },
  Dense(name, layer, at) {
    const input = array(name + ".input").values, weight = array(name + ".weight").values, bias = array(name + ".bias").values[at[0]];
    const products = Array.from(input, (value, i) => ({ i, value, weight: weight[at[0] * input.length + i], product: value * weight[at[0] * input.length + i] }));
    const total = products.reduce((sum, each) => sum + each.product, bias);
    const largest = products.sort((a, b) => Math.abs(b.product) - Math.abs(a.product)).slice(0, 5);
    return `= ${products.length} products + ${exact(bias)} (bias) = <b>${exact(total)}</b>. The largest: ` + largest.map(each => `input ${each.i}: ${brief(each.value)} &times; ${brief(each.weight)} = ${exact(each.product)}`).join("; ");
  },
  Relu(name, layer, at, place) { return `= max(0, ${exact(array(name + ".input").values[place])})`; },
  Sigmoid(name, layer, at, place) { return `= 1 / (1 + exp(${exact(-array(name + ".input").values[place])}))`; },
  Tanh(name, layer, at, place) { return `= tanh(${exact(array(name + ".input").values[place])})`; },
  Flatten(name, layer, at, place) { return `= input [${position(array(name + ".input").shape, place).join(", ")}], unchanged`; },
};

function how(name, at, place) {
  const layer = name.split(".")[0], key = name.slice(layer.length + 1);
  if (key === "output") return HOW[LAYERS[layer].kind](layer, LAYERS[layer], at, place);
  if (key.endsWith(".after")) {
    const weight = layer + "." + key.slice(0, -6);
    return `= ${exact(array(weight).values[place])} &minus; ${LAYERS[layer].rate} &times; ${exact(array(weight + ".gradient").values[place])} (before &minus; rate &times; gradient)`;
  }
  return "";
}

const reading = document.getElementById("reading");
function read(event) {
  const canvas = event.target.closest("canvas");
  if (!canvas) return;
  const data = array(canvas.closest("figure").dataset.array), { rows, columns } = layout(data.shape), cell = Number(canvas.dataset.cell);
  const column = Math.min(columns - 1, Math.max(0, Math.floor(event.offsetX / cell))), row = Math.min(rows - 1, Math.max(0, Math.floor(event.offsetY / cell)));
  const place = (Number(canvas.dataset.map) * rows + row) * columns + column;
  if (place >= data.values.length) return;
  const at = position(data.shape, place);
  reading.innerHTML = `<b>${data.name} [${at.join(", ")}] = ${exact(data.values[place])}</b> ${how(data.name, at, place)}`;
}

function prepare(figure) {
  if (figure.dataset.drawn || (figure.closest("details") && !visible(figure))) return;
  figure.dataset.drawn = "yes";
  const size = array(figure.dataset.array).values.length, caption = figure.querySelector("figcaption");
  const shape = document.createElement("span");
  shape.textContent = array(figure.dataset.array).shape.join(" x ");
  caption.append(shape);
  let written = size <= WRITTEN && layout(array(figure.dataset.array).shape).columns <= 12;
  if (size <= LARGEST) {
    const button = document.createElement("button");
    const label = () => { button.textContent = written ? "Colours" : "Numbers"; };
    button.type = "button"; label();
    button.addEventListener("click", () => { written = !written; label(); draw(figure, written); });
    caption.append(button);
  }
  draw(figure, written);
}

// Whether every <details> around an element is open: what is folded is drawn when it is unfolded.
function visible(element) {
  for (let around = element.parentElement; around; around = around.parentElement) if (around.tagName === "DETAILS" && !around.open) return false;
  return true;
}

const figures = [...document.querySelectorAll("figure.values")];
figures.forEach(prepare);
for (const each of document.querySelectorAll("details")) each.addEventListener("toggle", () => each.querySelectorAll("figure.values").forEach(prepare));
document.addEventListener("pointermove", event => { if (event.pointerType === "mouse") read(event); });
document.addEventListener("click", read);
