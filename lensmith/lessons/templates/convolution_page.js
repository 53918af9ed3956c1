// The parts of the page, each a function that draws one from the state.

const byId = (id) => document.getElementById(id);
const NAMES = ["red", "green", "blue"], MOST_KERNEL = 11;
const state = {
  kernel: LESSON.kernels[0].rows, step: { padding: LESSON.padding, stride: LESSON.stride, dilation: LESSON.dilation },
  row: 0, column: 0, pixel: [LESSON.patch.row, LESSON.patch.column], pooling: "max", plane: 0,
};

function planesFrom(text, rows, columns) {    // base64 of bytes [channels, rows, columns] -> planes
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Array.from({ length: bytes.length / (rows * columns) }, (_, channel) => Array.from({ length: rows }, (_, row) =>
    Array.from(bytes.subarray((channel * rows + row) * columns, (channel * rows + row + 1) * columns))));
}

const [ROWS, COLUMNS] = LESSON.size;
const COLOURS = planesFrom(LESSON.colours, ROWS, COLUMNS), [GRAY] = planesFrom(LESSON.gray, ROWS, COLUMNS);
const PLANES = LESSON.channels === 1 ? [GRAY] : COLOURS;
const patchOf = (plane) => plane.slice(LESSON.patch.row, LESSON.patch.row + LESSON.patch.rows)
  .map((line) => line.slice(LESSON.patch.column, LESSON.patch.column + LESSON.patch.columns));
const PATCH = patchOf(GRAY);
const gray = (value) => Array(3).fill(value);
const inColour = (row, column) => COLOURS.map((plane) => plane[row][column]);

// 1. A picture is numbers

function drawPicture() {
  paint(byId("picture"), ROWS, COLUMNS, inColour);
  NAMES.forEach((name, channel) => paint(byId(name), ROWS, COLUMNS, (row, column) =>
    inColour(row, column).map((value, other) => other === channel ? value : 0)));
  paint(byId("gray"), ROWS, COLUMNS, (row, column) => gray(GRAY[row][column]));
  place(byId("patch-mark"), LESSON.patch.row, LESSON.patch.column, LESSON.patch.rows, LESSON.patch.columns);
}

function drawPixel() {
  const [row, column] = state.pixel, colour = inColour(row, column);
  byId("pixel-place").textContent = `row ${row}, column ${column}`;
  byId("pixel-colour").style.background = `rgb(${colour.join(" ")})`;
  byId("pixel-values").replaceChildren(...[...NAMES, "gray"].map((name, channel) => element("div", {},
    element("span", { className: `dot ${name}` }), `${name} `, element("b", { textContent: channel < 3 ? colour[channel] : GRAY[row][column] }))));
  place(byId("pixel-mark"), row, column, 1, 1);
}

function place(mark, row, column, rows, columns) {    // lay a frame over the picture
  Object.assign(mark.style, { left: `${100 * column / COLUMNS}%`, top: `${100 * row / ROWS}%`, width: `${100 * columns / COLUMNS}%`, height: `${100 * rows / ROWS}%` });
}

function drawNumbers() {
  const plane = [GRAY, ...COLOURS][state.plane];
  fillGrid(byId("numbers"), patchOf(plane), (value) => cell(value, state.plane ? gray(0).map((_, channel) => channel === state.plane - 1 ? value : 0) : gray(value)));
}

function drawRaster() {
  const zoom = Number(byId("zoom").value), cells = 16, width = cells / zoom, left = (cells - width) * 0.82, top = (cells - width) * 0.12;
  byId("zoom-value").textContent = zoom === 1 ? "from far" : `${zoom} times as near`;
  byId("vector").setAttribute("viewBox", `${left} ${top} ${width} ${width}`);
  byId("raster").setAttribute("viewBox", `${left} ${top} ${width} ${width}`);
  const inside = (x, y) => (x - 8) ** 2 + (y - 8) ** 2 < 36;
  byId("raster").innerHTML = Array.from({ length: cells * cells }, (_, place) => {
    const x = place % cells, y = Math.floor(place / cells), parts = [0.125, 0.375, 0.625, 0.875];
    const covered = parts.flatMap((dy) => parts.map((dx) => inside(x + dx, y + dy))).filter(Boolean).length / 16;
    return `<rect x="${x}" y="${y}" width="1.01" height="1.01" fill="rgb(${[213, 94, 0].map((part) => Math.round(255 + (part - 255) * covered)).join(" ")})"/>`;
  }).join("");
}

function drawSensor() {
  const siteOf = (row, column) => row % 2 === 0 ? (column % 2 === 0 ? 0 : 1) : (column % 2 === 0 ? 1 : 2);
  const sites = NAMES.map((_, channel) => GRAY.map((line, row) => line.map((_, column) => siteOf(row, column) === channel ? 1 : 0)));
  const measured = sites.map((mask, channel) => mask.map((line, row) => line.map((here, column) => here * COLOURS[channel][row][column])));
  const step = { padding: [1, 1], stride: 1, dilation: 1 }, near = [[1, 2, 1], [2, 4, 2], [1, 2, 1]];
  const filled = measured.map((plane, channel) => {    // the mean of the sites near by: a convolution of what was measured, over one of where
    const sums = convolve([plane], [near], step), weights = convolve([sites[channel]], [near], step);
    return sums.map((line, row) => line.map((sum, column) => sum / weights[row][column]));
  });
  paint(byId("sensor"), ROWS, COLUMNS, (row, column) => measured.map((plane) => plane[row][column]));
  paint(byId("demosaiced"), ROWS, COLUMNS, (row, column) => filled.map((plane) => plane[row][column]));
}

// 2. One value after another

function drawStep() {
  const { kernel, step } = state, [above, left] = step.padding, size = [PATCH.length, PATCH[0].length];
  const output = outputSize(size, kernel, step), fits = Math.min(...output) > 0;
  byId("too-small").hidden = fits;
  byId("stage").hidden = !fits;
  drawFormula(size, output, fits);
  if (!fits) return;
  state.row = Math.min(state.row, output[0] - 1);
  state.column = Math.min(state.column, output[1] - 1);
  const position = byId("position");
  position.max = output[0] * output[1] - 1;
  position.value = state.row * output[1] + state.column;
  byId("position-value").textContent = `row ${state.row}, column ${state.column}`;
  const { windows: [window_], products: [products], total } = valueAt([PATCH], [kernel], step, state.row, state.column);
  const padded = Array.from({ length: size[0] + 2 * above }, (_, row) => Array.from({ length: size[1] + 2 * left }, (_, column) => PATCH[row - above]?.[column - left] ?? 0));
  const isOn = (row, column) => {
    const down = row - state.row * step.stride, right = column - state.column * step.stride;
    return down >= 0 && right >= 0 && down % step.dilation === 0 && right % step.dilation === 0 && down / step.dilation < kernel.length && right / step.dilation < kernel[0].length;
  };
  fillGrid(byId("input"), padded, (value, row, column) => {
    const outside = row < above || column < left || row >= above + size[0] || column >= left + size[1];
    return cell(value, outside ? [255, 255, 255] : gray(value), `${outside ? "zero " : ""}${isOn(row, column) ? "on" : ""}`);
  });
  fillGrid(byId("window"), window_, (value) => cell(value, gray(value)));
  fillGrid(byId("kernel"), kernel, (value) => cell(value, colourOf(value, strongest(kernel), true)));
  fillGrid(byId("products"), products, (value) => cell(value, colourOf(value, 255 * strongest(kernel), true)));
  drawMapSoFar(output, total);
  byId("sum").textContent = `${products.flat().map(shown).join(" + ").replaceAll("+ \u2212", "\u2212 ")} = `;
  byId("sum").append(element("b", { textContent: shown(total) }));
  byId("sum").dataset.total = total;
}

function drawMapSoFar(output, total) {
  const map = convolve([PATCH], [state.kernel], state.step), most = strongest(map), signed = hasNegative(map);
  const now = state.row * output[1] + state.column;
  fillGrid(byId("map"), map, (value, row, column) => {
    const place = row * output[1] + column, made = cell(value, colourOf(value, most, signed), place === now ? "on" : place > now ? "later" : "");
    made.onclick = () => { Object.assign(state, { row, column }); drawStep(); };
    return made;
  });
  byId("map").dataset.now = total;
}

function drawFormula(size, output, fits) {
  const { kernel, step } = state, spans = spanOf(kernel, step);
  const line = (axis) => `\u230a(${size[axis]} + 2 \u00b7 ${step.padding[axis]} \u2212 ${spans[axis]}) / ${step.stride}\u230b + 1 = <b>${fits ? output[axis] : "nothing"}</b>`;
  const same = size[0] === size[1] && kernel.length === kernel[0].length && step.padding[0] === step.padding[1];
  byId("formula").innerHTML = (same ? [line(0)] : [`rows: ${line(0)}`, `columns: ${line(1)}`]).join("<br>");
  byId("span").innerHTML = step.dilation === 1 ? `The kernel spans ${spans.join(" \u00d7 ")} pixels.`
    : `With dilation ${step.dilation} its ${kernel.length} \u00d7 ${kernel[0].length} values span ${spans.join(" \u00d7 ")} pixels: ${step.dilation} \u00b7 (${kernel.length} \u2212 1) + 1 = ${spans[0]}.`;
}

// 3. On the whole picture

function drawWhole() {
  const { kernel, step } = state, size = outputSize([ROWS, COLUMNS], kernel, step), fits = Math.min(...size) > 0;
  byId("whole").hidden = !fits;
  if (!fits) return;
  let map = convolve([GRAY], [kernel], step);
  const least = Math.min(...map.flat()), most = Math.max(...map.flat());
  const signed = hasNegative(map);
  if (byId("relu").checked) map = map.map((line) => line.map((value) => Math.max(value, 0)));
  paint(byId("whole-input"), ROWS, COLUMNS, (row, column) => gray(GRAY[row][column]));
  paintPlane(byId("whole-map"), map);
  byId("whole-map-words").textContent = `The map, ${size.join(" \u00d7 ")}: values from ${shown(least)} to ${shown(most)}${byId("relu").checked ? ", those below 0 set to 0 by ReLU" : ""}.${signed && Math.max(...step.padding) ? " The bars at its edges come from the zeros of the padding." : ""}`;
  const pooled = pool(map, 2, state.pooling);
  byId("pooled-figure").hidden = !pooled.length || !pooled[0].length;
  if (!pooled.length || !pooled[0].length) return;
  paintPlane(byId("pooled"), pooled);
  byId("pooled-words").textContent = `Pooled, ${pooled.length} \u00d7 ${pooled[0].length}: ${state.pooling === "max" ? "the largest" : "the mean"} of each 2 \u00d7 2 window. \u230a(${size[0]} \u2212 2) / 2\u230b + 1 = ${pooled.length}.`;
}

// 4. Channels and filters

function drawChannels() {
  const step = { padding: LESSON.padding, stride: LESSON.stride, dilation: LESSON.dilation };
  const names = LESSON.channels === 1 ? ["gray"] : NAMES;
  const [rows, columns] = outputSize([ROWS, COLUMNS], LESSON.kernels[0].rows, step);
  const place = [Math.floor(LESSON.patch.row / step.stride), Math.floor(LESSON.patch.column / step.stride)].map((start, axis) => Math.min(start + 1, [rows, columns][axis] - 1));
  const first = LESSON.kernels[0].rows, { windows, products, sums, total } = valueAt(PLANES, PLANES.map(() => first), step, ...place);
  byId("channel-place").textContent = `row ${place[0]}, column ${place[1]}`;
  byId("channel-rows").replaceChildren(...names.map((name, channel) => {
    const grids = [windows[channel], first, products[channel]].map(() => element("div", { className: "grid small" }));
    fillGrid(grids[0], windows[channel], (value) => cell(value, name === "gray" ? gray(value) : NAMES.map((other) => other === name ? value : 0)));
    fillGrid(grids[1], first, (value) => cell(value, colourOf(value, strongest(first), true)));
    fillGrid(grids[2], products[channel], (value) => cell(value, colourOf(value, 255 * strongest(first), true)));
    return element("div", { className: "channel" }, element("span", { className: "name" }, element("span", { className: `dot ${name}` }), name),
      grids[0], element("span", { textContent: "\u00d7" }), grids[1], element("span", { textContent: "=" }), grids[2],
      element("span", { innerHTML: `sum <b>${shown(sums[channel])}</b>` }));
  }));
  byId("channel-sum").innerHTML = `${sums.map(shown).join(" + ").replaceAll("+ \u2212", "\u2212 ")}${sums.length > 1 ? ` = <b>${shown(total)}</b>` : ""}`;
  byId("channel-sum").dataset.total = total;
  byId("maps").replaceChildren(...LESSON.kernels.map((kernel) => {
    const canvas = element("canvas"), map = convolve(PLANES, PLANES.map(() => kernel.rows), step), grid = element("div", { className: "grid small" });
    paintPlane(canvas, map);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `the map of ${kernel.name}`);
    fillGrid(grid, kernel.rows, (value) => cell(value, colourOf(value, strongest(kernel.rows), true)));
    const figure = figureOf(canvas, `<b>${kernel.name}</b> ${kernel.words}; ${map.length} \u00d7 ${map[0].length}`);
    figure.append(grid);
    return figure;
  }));
}

function drawCounts() {
  const [channels, filters, edge] = ["count-channels", "count-filters", "count-kernel"].map((id) => Number(byId(id).value));
  [["count-channels", channels], ["count-filters", filters], ["count-kernel", `${edge} \u00d7 ${edge}`]].forEach(([id, value]) => { byId(`${id}-value`).textContent = value; });
  const weights = filters * channels * edge * edge;
  byId("count-shape").textContent = `${filters} \u00d7 ${channels} \u00d7 ${edge} \u00d7 ${edge}`;
  byId("count-weights").textContent = weights.toLocaleString("en");
  byId("count-weights").dataset.value = weights;
  byId("count-words").textContent = `${channels} ${channels === 1 ? "channel goes" : "channels go"} in, ${filters} ${filters === 1 ? "map comes" : "maps come"} out. Each filter has ${channels === 1 ? "one slice" : `${channels} slices, one for each channel`} of ${edge} \u00d7 ${edge} numbers, and one bias that is added to its map: ${weights.toLocaleString("en")} weights and ${filters} ${filters === 1 ? "bias" : "biases"}.`;
  const card = (name, count) => element("div", { className: "stack" }, ...Array.from({ length: count }, () => element("i")), element("span", { textContent: name }));
  byId("diagram").replaceChildren(card(`${channels} in`, channels), element("b", { textContent: "\u2192" }),
    element("div", { className: "filters" }, element("div", {}, ...Array.from({ length: filters }, () => card("", channels))),
      `${filters} ${filters === 1 ? "filter" : "filters"} of ${channels} ${channels === 1 ? "slice" : "slices"}`),
    element("b", { textContent: "\u2192" }), card(`${filters} out`, filters));
}

// 5. Any size of picture

function bytesInWords(bytes) {
  const units = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]], unit = units.find(([size]) => bytes >= size);
  return unit ? `${Number((bytes / unit[0]).toPrecision(3))} ${unit[1]}` : `${bytes} bytes`;
}

function drawSizes() {
  const edge = Number(byId("edge").value), units = Number(byId("units").value), inputs = 3 * edge * edge;
  const dense = inputs * units, filters = 3 * 3 * 3 * units, inWords = (number) => number.toLocaleString("en");
  byId("edge-value").textContent = `${edge} \u00d7 ${edge} pixels in colour`;
  byId("units-value").textContent = units;
  byId("dense-words").innerHTML = `3 \u00b7 ${edge} \u00b7 ${edge} = ${inWords(inputs)} inputs, each with ${units} weights: <b>${inWords(dense)} weights, ${bytesInWords(4 * dense)}</b>`;
  byId("dense-words").dataset.value = 4 * dense;
  byId("conv-words").innerHTML = `${units} filters of 3 \u00d7 3 \u00d7 3: <b>${inWords(filters)} weights, ${bytesInWords(4 * filters)}</b>, whatever the size of the picture`;
  const width = (weights) => `${Math.max(0.5, 100 * Math.log10(weights) / 10)}%`;
  byId("dense-bar").style.width = width(dense);
  byId("conv-bar").style.width = width(filters);
}

function drawOfAnySize() {
  const step = { padding: [1, 1], stride: 1, dilation: 1 };
  byId("any-size").replaceChildren(...[1, 2, 4].filter((part) => Math.min(ROWS, COLUMNS) / part >= 4).map((part) => {
    const rows = Math.floor(ROWS / part), columns = Math.floor(COLUMNS / part);
    const small = Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) => GRAY[row * part][column * part]));
    const canvas = element("canvas"), kernel = LESSON.known.sobel.rows, map = convolve([small], [kernel], step);
    paintPlane(canvas, map);
    canvas.style.width = `${100 / part}%`;
    return figureOf(canvas, `${rows} \u00d7 ${columns} in, ${map.length} \u00d7 ${map[0].length} out, by the same 9 numbers`);
  }));
}

// What is moved, typed and played

function drawKernelChoice() {
  const text = kernelAsText(state.kernel), name = Object.keys(LESSON.known).find((known) => kernelAsText(LESSON.known[known].rows) === text);
  byId("preset").value = name ?? "";
  byId("typed").value = text;
  byId("kernel-words").textContent = name ? `${name} ${LESSON.known[name].words}.` : "A kernel of your own.";
  ["padding", "stride", "dilation"].forEach((id) => {
    const value = id === "padding" ? state.step.padding : [state.step[id]];
    byId(id).value = value[0];
    byId(`${id}-value`).textContent = [...new Set(value)].join(" and ");
  });
}

function drawKernel() {
  drawKernelChoice();
  drawStep();
  drawWhole();
}

function takeTyped() {
  try {
    state.kernel = readKernel(byId("typed").value, MOST_KERNEL);
    byId("typed-wrong").textContent = "";
    drawKernel();
  } catch (error) {
    byId("typed-wrong").textContent = `This is no kernel: ${error.message}.`;
  }
}

let playing = null;

function play() {
  if (playing) clearInterval(playing);
  playing = playing ? null : setInterval(() => {
    const position = byId("position");
    position.value = Number(position.value) === Number(position.max) ? 0 : Number(position.value) + 1;
    position.dispatchEvent(new Event("input"));
  }, 500);
  byId("play").textContent = playing ? "Stop" : "Play";
}

function listen() {
  byId("preset").append(...Object.keys(LESSON.known).map((name) => element("option", { value: name, textContent: name })));
  byId("preset").onchange = () => { if (byId("preset").value) { state.kernel = LESSON.known[byId("preset").value].rows; byId("typed-wrong").textContent = ""; drawKernel(); } };
  byId("typed").onchange = takeTyped;
  ["padding", "stride", "dilation"].forEach((id) => { byId(id).oninput = () => {
    const value = Number(byId(id).value);
    state.step = { ...state.step, [id]: id === "padding" ? [value, value] : value };
    drawKernel();
  }; });
  byId("position").oninput = () => {
    const columns = outputSize([PATCH.length, PATCH[0].length], state.kernel, state.step)[1], place = Number(byId("position").value);
    Object.assign(state, { row: Math.floor(place / columns), column: place % columns });
    drawStep();
  };
  byId("play").onclick = play;
  byId("relu").onchange = drawWhole;
  byId("pooling").onchange = () => { state.pooling = byId("pooling").value; drawWhole(); };
  byId("plane").onchange = () => { state.plane = Number(byId("plane").value); drawNumbers(); };
  byId("zoom").oninput = drawRaster;
  ["count-channels", "count-filters", "count-kernel"].forEach((id) => { byId(id).oninput = drawCounts; });
  ["edge", "units"].forEach((id) => { byId(id).oninput = drawSizes; });
  const touched = (event) => {
    const box = byId("picture").getBoundingClientRect();
    const at = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
    state.pixel = [at((event.clientY - box.top) / box.height, ROWS), at((event.clientX - box.left) / box.width, COLUMNS)];
    drawPixel();
  };
  byId("picture-box").onpointermove = touched;
  byId("picture-box").onpointerdown = touched;
}

listen();
[drawPicture, drawPixel, drawNumbers, drawRaster, drawSensor, drawKernel, drawChannels, drawCounts, drawSizes, drawOfAnySize].forEach((draw) => draw());
