"use strict";
// Shows what the page holds: nothing is loaded or computed elsewhere. Without it the pictures below remain.
(async () => {
  const holder = document.getElementById("viewer-data"), COLOURS = { core: "#ff4a52", hypoperfusion: "#f2cc40", aif: "#b14dff", vof: "#4fc3d9" };
  if (!holder || !window.DecompressionStream) return;
  const data = JSON.parse(holder.textContent), find = (query) => document.querySelector("#viewer " + query);
  const [slices, rows, columns] = data.shape, area = rows * columns, times = data.times, basis = data.curves.basis;

  // What was packed: differences of bytes, compressed.
  async function unpack(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let i = 1; i < bytes.length; i += 1) bytes[i] += bytes[i - 1];
    return bytes;
  }
  const masks = await unpack(data.masks), place = new Int32Array(masks.length).fill(-1);
  let voxels = 0;
  masks.forEach((bits, i) => { if (bits & data.bits.brain) { place[i] = voxels; voxels += 1; } });
  const layers = data.layers, layerOf = (key) => layers.find((layer) => layer.key === key);
  await Promise.all(layers.filter((layer) => layer.values).map(async (layer) => { layer.levels = await unpack(layer.values); }));
  const weights = await Promise.all(data.curves.levels.map(async (text) => {
    const levels = new Int8Array((await unpack(text)).buffer);
    return Float32Array.from(levels, (level) => data.curves.even * Math.sinh(level * data.curves.ratio));
  }));
  const hu = Float32Array.from({ length: 256 }, (_, step) => {
    const { hu: known, steps } = data.scan, k = step <= steps[1] ? 0 : 1;
    return known[k] + ((step - steps[k]) / (steps[k + 1] - steps[k])) * (known[k + 1] - known[k]);
  });

  // A picture of the scan as HU: slices stand side by side, as many rows of them as columns.
  const decoded = new Map();
  function scanPicture(address) {
    if (!decoded.has(address)) decoded.set(address, decode(address));
    return decoded.get(address);
  }
  async function decode(address) {
    const image = new Image(), canvas = document.createElement("canvas"), across = Math.ceil(Math.sqrt(slices));
    image.src = address;
    await image.decode();
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.height).data;
    const width = image.width / across, height = image.height / Math.ceil(slices / across);
    return (slice) => {
      const values = new Float32Array(width * height), left = (slice % across) * width, top = Math.floor(slice / across) * height;
      for (let y = 0, i = 0; y < height; y += 1) for (let x = 0; x < width; x += 1, i += 1) values[i] = hu[pixels[4 * ((top + y) * image.width + left + x)]];
      return { values, width, height };
    };
  }
  const curveOf = (voxel) => times.map((_, t) => weights.reduce((sum, row, k) => sum + row[voxel] * basis[k][t], 0));
  function enhancement(slice, frame) {
    const values = new Float32Array(area).fill(NaN), shares = basis.map((row) => row[frame]);
    for (let i = 0; i < area; i += 1) {
      const voxel = place[slice * area + i];
      if (voxel < 0) continue;
      let sum = 0;
      for (let k = 0; k < shares.length; k += 1) sum += weights[k][voxel] * shares[k];
      values[i] = sum;
    }
    return values;
  }
  const slab = Math.max(1, Math.floor(slices / 6));
  function maximum(slice, frame) {
    const values = new Float32Array(area).fill(NaN);
    for (let k = Math.max(0, slice - slab); k <= Math.min(slices - 1, slice + slab); k += 1)
      enhancement(k, frame).forEach((value, i) => { if (!(value <= values[i]) && !Number.isNaN(value)) values[i] = value; });
    return values;
  }
  const valueAt = (layer, voxel) => (voxel < 0 || !layer.levels[voxel] ? NaN : layer.low + (layer.levels[voxel] - 1) * layer.step);
  // The values of one slice, and how many voxels of the scan lie between its pixels.
  async function field(layer, slice, frame) {
    const ours = (values) => ({ values, width: columns, height: rows, pitch: data.thinning });
    if (layer.key === "raw") return { ...(await scanPicture(data.scan.frames[frame]))(slice), pitch: data.scan.block };
    if (layer.key === "contrast") return ours(enhancement(slice, frame));
    if (layer.key === "mip") return ours(maximum(slice, frame));
    if (layer.key === "denoised") {
      const { values } = (await scanPicture(data.scan.before))(slice), rise = enhancement(slice, frame);
      return ours(values.map((value, i) => (Number.isNaN(rise[i]) ? value : value + rise[i])));
    }
    return ours(Float32Array.from({ length: area }, (_, i) => valueAt(layer, place[slice * area + i])));
  }

  // What is shown.
  const state = { slice: Math.floor(slices / 2), frame: data.aif.indexOf(Math.max(...data.aif)), voxel: null };
  const narrow = matchMedia("(max-width: 48rem)"), dark = matchMedia("(prefers-color-scheme: dark)");
  const panes = [...document.querySelectorAll("#viewer .pane")].map((root) => ({
    root, select: root.querySelector("select"), canvas: root.querySelector(".picture"), bar: root.querySelector(".bar"),
    ends: [...root.querySelectorAll("input")], unit: root.querySelector(".unit"), reset: root.querySelector(".reset"), turn: 0,
  }));
  for (const layer of layers) layer.shown = [...layer.window];
  for (const pane of panes) {
    for (const group of new Set(layers.map((layer) => layer.group))) {
      const list = document.createElement("optgroup");
      list.label = group;
      for (const layer of layers.filter((one) => one.group === group)) list.append(new Option(layer.label, layer.key));
      pane.select.append(list);
    }
  }
  panes[1].select.append(new Option("Nothing", ""));
  const colours = {};
  for (const [name, text] of Object.entries(data.colours)) colours[name] = Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
  const digits = (value) => (Number.isNaN(value) ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2));

  async function paint(pane) {
    const layer = layerOf(pane.select.value), turn = (pane.turn += 1), { slice, frame } = state;
    pane.root.classList.toggle("empty", !layer);
    if (!layer) return;
    const { values, width, height, pitch } = await field(layer, slice, frame);
    if (turn !== pane.turn) return;
    const pixels = new ImageData(width, height), table = colours[layer.colours], [low, high] = layer.shown;
    const words = new Uint32Array(pixels.data.buffer), black = 0xff000000, span = 255 / Math.max(high - low, 1e-6);
    const packed = Uint32Array.from({ length: 256 }, (_, k) => black | (table[3 * k + 2] << 16) | (table[3 * k + 1] << 8) | table[3 * k]);
    for (let i = 0; i < values.length; i += 1) words[i] = Number.isNaN(values[i]) ? black : packed[Math.max(0, Math.min(255, Math.round((values[i] - low) * span)))];
    const small = document.createElement("canvas"), ratio = window.devicePixelRatio || 1, canvas = pane.canvas, [tall, wide] = data.full;
    [small.width, small.height] = [width, height];
    small.getContext("2d").putImageData(pixels, 0, 0);
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round((canvas.width * tall * data.aspect) / wide);
    const context = canvas.getContext("2d"), across = canvas.width / wide, down = canvas.height / tall;
    context.imageSmoothingEnabled = layer.group === "Scan";
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, width * pitch * across, height * pitch * down);
    drawMarks(context, slice, across * data.thinning, down * data.thinning, ratio);
    drawLetters(context, slice, frame, layer, ratio);
    pane.field = { values, width, height, pitch };
    canvas.dataset.shown = `${layer.key} ${slice} ${frame} ${low} ${high}`;
    canvas.setAttribute("aria-label", `${layer.label}, slice ${data.labels[slice]}, ${times[frame]} s. The patient's left is on the right.`);
    const bar = pane.bar.getContext("2d"), strip = new ImageData(256, 1);
    new Uint32Array(strip.data.buffer).set(packed);
    bar.putImageData(strip, 0, 0);
    pane.ends.forEach((end, k) => { if (document.activeElement !== end) end.value = String(Number(layer.shown[k].toPrecision(3))); });
    pane.unit.textContent = layer.unit;
  }
  function drawMarks(context, slice, across, down, ratio) {
    const wanted = [...(find("#lesions").checked ? ["hypoperfusion", "core"] : []), ...(find("#vessels").checked ? ["aif", "vof"] : [])];
    for (const name of wanted) {
      const bit = data.bits[name], inside = (x, y) => x >= 0 && y >= 0 && x < columns && y < rows && (masks[slice * area + y * columns + x] & bit) > 0;
      context.beginPath();
      for (let y = 0; y <= rows; y += 1) {
        for (let x = 0; x <= columns; x += 1) {
          const here = inside(x, y);
          if (here !== inside(x - 1, y)) { context.moveTo(x * across, y * down); context.lineTo(x * across, (y + 1) * down); }
          if (here !== inside(x, y - 1)) { context.moveTo(x * across, y * down); context.lineTo((x + 1) * across, y * down); }
        }
      }
      context.lineWidth = 1.25 * ratio;
      context.strokeStyle = COLOURS[name];
      context.stroke();
    }
    if (!state.voxel) return;
    const [x, y] = [(state.voxel.x + 0.5) * across, (state.voxel.y + 0.5) * down], arm = 7 * ratio, gap = 2.5 * ratio;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { context.moveTo(x + gap * dx, y + gap * dy); context.lineTo(x + arm * dx, y + arm * dy); }
    context.strokeStyle = "#fff";
    context.stroke();
  }
  function drawLetters(context, slice, frame, layer, ratio) {
    const { width, height } = context.canvas, edge = 5 * ratio, moves = layer.group === "Scan" ? ` · ${times[frame]} s` : "";
    context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "top";
    context.fillStyle = "#e8eaed";
    context.shadowColor = "#000";
    context.shadowBlur = 4 * ratio;
    context.textAlign = "left";
    context.fillText("R", edge, edge);
    context.fillText(data.labels[slice] + moves, edge, height - 18 * ratio);
    context.textAlign = "right";
    context.fillText("L", width - edge, edge);
  }

  // Values and curve of the voxel under the pointer.
  const body = find("#values tbody"), reference = layers.some((layer) => layer.group === "Reference"), cells = {};
  for (const layer of layers.filter((one) => one.group === "Maps")) {
    const row = body.insertRow(), head = document.createElement("th");
    head.scope = "row";
    head.textContent = layer.label;
    row.append(head);
    cells[layer.key] = ["number", "number", "number reference", "unit"].map((kind) => { const cell = row.insertCell(); cell.className = kind; return cell; });
    cells[layer.key][3].textContent = layer.unit;
  }
  for (const cell of document.querySelectorAll("#viewer .reference")) cell.hidden = !reference;
  find("#beside").hidden = !reference;
  function read() {
    const { voxel: at, slice } = state, voxel = at ? place[slice * area + at.y * columns + at.x] : -1;
    for (const [key, [value, sd, other]] of Object.entries(cells)) {
      const text = (name) => (layerOf(name) ? digits(valueAt(layerOf(name), voxel)) : "");
      [value.textContent, sd.textContent, other.textContent] = [limited(layerOf(key), voxel), text(`${key}_sd`) && `± ${text(`${key}_sd`)}`, text(`${key}_reference`)];
    }
    const bits = at ? masks[slice * area + at.y * columns + at.x] : 0, names = Object.keys(data.bits).filter((name) => bits & data.bits[name]);
    const scan = panes.filter((pane) => at && pane.field && (layerOf(pane.select.value) || {}).group === "Scan").map((pane) => {
      const { values, width, height, pitch } = pane.field, [x, y] = [at.x, at.y].map((k) => Math.floor((k * data.thinning) / pitch));
      return `${layerOf(pane.select.value).label} ${digits(values[Math.min(y, height - 1) * width + Math.min(x, width - 1)])} HU`;
    });
    if (at) find("#place").textContent = [`${data.labels[slice]}, column ${at.x + 1}, row ${at.y + 1}`, names.join(", ") || "outside the brain", ...scan].join(" · ");
    drawCurve(voxel);
  }
  function limited(layer, voxel) {
    const level = voxel < 0 ? 0 : layer.levels[voxel], sign = level === layer.top ? "≥ " : level === 1 ? "≤ " : "";
    return (layer.low === 0 && level === 1 ? "" : sign) + digits(valueAt(layer, voxel));
  }
  function drawCurve(voxel) {
    const canvas = find("#curve"), ratio = window.devicePixelRatio || 1, context = canvas.getContext("2d"), styles = getComputedStyle(document.body);
    const ink = (name) => styles.getPropertyValue(`--${name}`).trim(), [left, right, top, bottom] = [46, 46, 24, 34].map((k) => k * ratio);
    [canvas.width, canvas.height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    const { width, height } = canvas, curve = voxel < 0 ? [] : curveOf(voxel), first = times[0], last = times[times.length - 1];
    const x = (t) => left + ((t - first) / (last - first)) * (width - left - right);
    const scale = (values, least) => { const low = Math.min(0, ...values), high = Math.max(least, ...values) * 1.05; return (v) => height - bottom - ((v - low) / (high - low)) * (height - top - bottom); };
    const line = (values, y, colour, thick) => {
      context.beginPath();
      values.forEach((value, t) => context.lineTo(x(times[t]), y(value)));
      [context.strokeStyle, context.lineWidth, context.lineJoin] = [colour, thick * ratio, "round"];
      context.stroke();
    };
    const text = (words, px, py, align, colour) => { [context.fillStyle, context.textAlign] = [colour, align]; context.fillText(words, px, py); };
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.setLineDash([]);
    const sides = [[scale(curve, 10), curve, 10, left - 6 * ratio, "right", ink("ink")], [scale(data.aif, 10), data.aif, 10, width - right + 6 * ratio, "left", ink("accent")]];
    for (const [y, values, least, px, align, colour] of sides) {
      const high = Math.max(least, ...values), step = 10 ** Math.floor(Math.log10(high)) * (high / 10 ** Math.floor(Math.log10(high)) > 5 ? 2 : high / 10 ** Math.floor(Math.log10(high)) > 2 ? 1 : 0.5);
      for (let v = 0; v <= high; v += step) {
        if (align === "right") line([v, v].map(() => v).concat(Array(times.length - 2).fill(v)), y, ink("line"), 1);
        text(String(Number(v.toPrecision(3))), px, y(v), align, colour);
      }
    }
    for (const t of times.filter((_, k) => k % Math.ceil(times.length / 8) === 0)) text(String(Number(t.toPrecision(3))), x(t), height - bottom + 13 * ratio, "center", ink("quiet"));
    text("time in s", (left + width - right) / 2, height - 7 * ratio, "center", ink("quiet"));
    text("voxel, HU", left - 40 * ratio, 8 * ratio, "left", ink("ink"));
    text("AIF, HU", width, 8 * ratio, "right", ink("accent"));
    for (const [t, dash] of [[data.arrival, [4, 3]], [times[state.frame], []]]) {
      context.beginPath();
      context.setLineDash(dash.map((k) => k * ratio));
      [context.strokeStyle, context.lineWidth] = [ink("quiet"), ratio];
      context.moveTo(x(t), top);
      context.lineTo(x(t), height - bottom);
      context.stroke();
    }
    context.setLineDash([]);
    line(data.aif, sides[1][0], ink("accent"), 1.5);
    if (curve.length) line(curve, sides[0][0], ink("ink"), 2.25);
    canvas.dataset.peak = curve.length ? Math.max(...curve).toFixed(2) : "";
  }

  // Controls.
  const sliders = { slice: find("#slice"), frame: find("#frame") }, limits = { slice: slices - 1, frame: times.length - 1 };
  let timer = 0;
  async function show() {
    for (const [name, slider] of Object.entries(sliders)) [slider.max, slider.value] = [limits[name], state[name]];
    sliders.slice.nextElementSibling.textContent = data.labels[state.slice];
    sliders.frame.nextElementSibling.textContent = `${times[state.frame]} s`;
    await Promise.all(panes.map(paint));
    read();
  }
  function move(name, by) {
    state[name] = Math.max(0, Math.min(limits[name], state[name] + by));
    return show();
  }
  function choose(left, right) {
    [panes[0].select.value, panes[1].select.value] = [left, right];
    return show();
  }
  function follow() { // a reference stays beside its map
    if (panes[1].select.value.endsWith("_reference")) panes[1].select.value = layerOf(`${panes[0].select.value}_reference`) ? `${panes[0].select.value}_reference` : panes[1].select.value;
    return show();
  }
  function play() {
    const button = find("#play"), starts = !timer;
    if (timer) timer = clearInterval(timer) || 0;
    else timer = setInterval(() => { state.frame = (state.frame + 1) % times.length; show(); }, 150);
    button.textContent = starts ? "Pause" : "Play";
    button.setAttribute("aria-pressed", String(starts));
  }
  const swap = () => panes[1].select.value && choose(panes[1].select.value, panes[0].select.value);
  function outlines() {
    for (const name of ["#lesions", "#vessels"]) find(name).checked = !find(name).checked;
    show();
  }
  function point(pane, event) {
    const box = pane.canvas.getBoundingClientRect(), [tall, wide] = data.full;
    const x = Math.floor((((event.clientX - box.left) / box.width) * wide) / data.thinning), y = Math.floor((((event.clientY - box.top) / box.height) * tall) / data.thinning);
    state.voxel = { x: Math.max(0, Math.min(columns - 1, x)), y: Math.max(0, Math.min(rows - 1, y)) };
    show();
  }
  for (const [name, slider] of Object.entries(sliders)) slider.addEventListener("input", () => { state[name] = Number(slider.value); show(); });
  for (const [id, act] of Object.entries({ play, swap, before: () => choose("raw", "denoised"), beside: () => choose("cbf", "cbf_reference") })) find(`#${id}`).addEventListener("click", act);
  for (const id of ["#lesions", "#vessels"]) find(id).addEventListener("change", show);
  panes[0].select.addEventListener("change", follow);
  panes[1].select.addEventListener("change", show);
  for (const pane of panes) {
    const window_ = (ends) => { const layer = layerOf(pane.select.value); if (ends[1] > ends[0]) layer.shown = ends; show(); };
    const usual = () => window_([...layerOf(pane.select.value).window]);
    pane.ends.forEach((end) => end.addEventListener("change", () => window_(pane.ends.map((one) => Number(one.value)))));
    pane.reset.addEventListener("click", usual);
    pane.canvas.addEventListener("dblclick", usual);
    let drag = null;
    pane.canvas.addEventListener("pointerdown", (event) => {
      find(".panes").focus({ preventScroll: true });
      point(pane, event);
      if (event.pointerType === "mouse") { drag = { x: event.clientX, y: event.clientY, from: layerOf(pane.select.value).shown }; pane.canvas.setPointerCapture(event.pointerId); }
    });
    pane.canvas.addEventListener("pointermove", (event) => {
      if (!drag) { point(pane, event); return; }
      const wide = drag.from[1] - drag.from[0], more = (event.clientX - drag.x) / 300, up = ((event.clientY - drag.y) / 300) * wide;
      const width = Math.max(wide / 20, wide * (1 + more)), middle = (drag.from[0] + drag.from[1]) / 2 + up;
      window_([middle - width / 2, middle + width / 2]);
    });
    for (const end of ["pointerup", "pointercancel"]) pane.canvas.addEventListener(end, () => { drag = null; });
  }
  const maps = layers.filter((layer) => layer.group === "Maps").map((layer) => layer.key);
  find(".panes").addEventListener("keydown", (event) => {
    if (event.target.matches("select, input, button") || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowUp: ["slice", 1], ArrowDown: ["slice", -1], ArrowRight: ["frame", 1], ArrowLeft: ["frame", -1] }[event.key];
    const letters = { x: swap, o: outlines, " ": play, r: () => choose("raw", panes[1].select.value), d: () => choose("denoised", panes[1].select.value), c: () => choose("contrast", panes[1].select.value), m: () => choose("mip", panes[1].select.value) };
    const act = letters[event.key.toLowerCase()], map = maps[Number(event.key) - 1];
    if (arrows && event.shiftKey) {
      const { x, y } = state.voxel || { x: Math.floor(columns / 2), y: Math.floor(rows / 2) }, step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
      state.voxel = { x: Math.max(0, Math.min(columns - 1, x + step[0])), y: Math.max(0, Math.min(rows - 1, y + step[1])) };
      show();
    } else if (arrows) move(...arrows);
    else if (act) act();
    else if (map) { panes[0].select.value = map; follow(); } else return;
    event.preventDefault();
  });
  find(".panes").addEventListener("wheel", (event) => {
    if (!find(".panes").contains(document.activeElement)) return;
    event.preventDefault();
    move(event.shiftKey ? "frame" : "slice", Math.sign(event.deltaX + event.deltaY) * -1);
  }, { passive: false });
  for (const change of [narrow, dark]) change.addEventListener("change", show);
  window.addEventListener("resize", show);
  const thinned = data.thinning > 1 ? ` Every ${data.thinning}th voxel in each direction of the plane is shown.` : "";
  find("#reduced").textContent = `Values are rounded for this page; the files of the run have all digits.${thinned} Raw frames are means of ${data.scan.block} × ${data.scan.block} pixels, compressed; curves are rebuilt from ${basis.length} temporal components. The maximum is that of ${2 * slab + 1} slices.`;
  document.getElementById("section-viewer").hidden = false;
  await choose("cbf", narrow.matches ? "" : "tmax");
  document.documentElement.dataset.viewer = "ready";
})();
