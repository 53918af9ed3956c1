"use strict";
// The arithmetic of the page, the same as lensmith/lessons/convolution/arithmetic.py: a plane is a list of rows, and
// how a kernel goes over it is {padding: [rows, columns], stride, dilation}.

function spanOf(kernel, step) {    // pixels from the kernel's first row and column to its last
  return [(kernel.length - 1) * step.dilation + 1, (kernel[0].length - 1) * step.dilation + 1];
}

function outputSize(size, kernel, step) {    // -> [rows, columns]
  return spanOf(kernel, step).map((span, axis) => Math.floor((size[axis] + 2 * step.padding[axis] - span) / step.stride) + 1);
}

function windowAt(plane, kernel, step, row, column) {    // the pixels under the kernel, zeros outside of the picture
  return kernel.map((line, y) => line.map((_, x) => {
    const above = row * step.stride - step.padding[0] + y * step.dilation;
    const left = column * step.stride - step.padding[1] + x * step.dilation;
    return above >= 0 && above < plane.length && left >= 0 && left < plane[0].length ? plane[above][left] : 0;
  }));
}

function sumOf(plane) {
  return plane.reduce((total, line) => total + line.reduce((sum, value) => sum + value, 0), 0);
}

function valueAt(planes, slices, step, row, column) {    // one value of a map with all that it is made of
  const windows = planes.map((plane, channel) => windowAt(plane, slices[channel], step, row, column));
  const products = windows.map((lines, channel) => lines.map((line, y) => line.map((pixel, x) => pixel * slices[channel][y][x])));
  const sums = products.map(sumOf);
  return { windows, products, sums, total: sums.reduce((total, sum) => total + sum, 0) };
}

function convolve(planes, slices, step) {    // one filter, a slice a channel -> its map
  const [rows, columns] = outputSize([planes[0].length, planes[0][0].length], slices[0], step);
  return Array.from({ length: Math.max(rows, 0) }, (_, row) =>
    Array.from({ length: Math.max(columns, 0) }, (_, column) => valueAt(planes, slices, step, row, column).total));
}

function pool(plane, edge, kind) {    // the largest or the mean value of each window; windows lie side by side
  const rows = Math.floor(plane.length / edge), columns = Math.floor(plane[0].length / edge);
  return Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) => {
    const values = plane.slice(row * edge, (row + 1) * edge).flatMap((line) => line.slice(column * edge, (column + 1) * edge));
    return kind === "max" ? Math.max(...values) : values.reduce((total, value) => total + value, 0) / values.length;
  }));
}

function readNumber(word) {    // 3, -0.5 or 1/9
  const parts = word.split("/").map(Number);
  const value = parts.length === 1 ? parts[0] : parts[0] / parts[1];
  if (word === "" || parts.length > 2 || !Number.isFinite(value)) throw new Error(`"${word}" is no number`);
  return value;
}

function readKernel(text, most) {    // "1 0 -1; 2 0 -2; 1 0 -1" -> rows; an Error says what is wrong
  const rows = text.trim().replace(/;$/, "").split(";").map((line) => line.replace(/,/g, " ").trim().split(/\s+/).map(readNumber));
  if (new Set(rows.map((row) => row.length)).size > 1) throw new Error(`its rows have ${rows.map((row) => row.length).join(", ")} values, and all need as many`);
  if (Math.max(rows.length, rows[0].length) > most) throw new Error(`at most ${most} x ${most} values`);
  return rows;
}

function numberAsText(value) {    // 1/9 for a ninth
  for (let below = 1; below <= 16; below++) {
    const above = Math.round(value * below);
    if (Math.abs(value * below - above) < 1e-9) return below === 1 ? String(above) : `${above}/${below}`;
  }
  return String(value);
}

function kernelAsText(kernel) {
  return kernel.map((row) => row.map(numberAsText).join(" ")).join("; ");
}
