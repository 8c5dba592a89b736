"use strict";
// Shows what the page holds; nothing is loaded. Where it cannot run the pictures below remain.
(async () => {
  const reach = new ResizeObserver((all) => all.forEach(({ target: one }) => { one.tabIndex = one.scrollWidth > one.clientWidth ? 0 : -1; }));
  for (const one of document.querySelectorAll(".scroll")) reach.observe(one); // Tab stops at what scrolls only
  const holder = document.getElementById("viewer-data");
  if (!holder || !window.DecompressionStream) return;
  const data = JSON.parse(holder.textContent), find = (query) => document.querySelector(`#viewer ${query}`);
  const [slices, rows, columns] = data.shape, [tall, wide] = data.full, area = rows * columns;
  const { times, layers, bits, thinning } = data, basis = data.curves.basis, last = times.length - 1;
  const layerOf = (key) => layers.find((layer) => layer.key === key), clamp = (value, most) => Math.max(0, Math.min(most, value));

  // Unpacking: differences of bytes, compressed; components as hyperbolic sines; steps of the scan as HU.
  async function unpack(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let i = 1; i < bytes.length; i += 1) bytes[i] += bytes[i - 1];
    return bytes;
  }
  const masks = await unpack(data.masks), place = new Int32Array(masks.length).fill(-1);
  for (let i = 0, voxel = 0; i < masks.length; i += 1) if (masks[i] & bits.brain) place[i] = voxel++;
  for (const layer of layers) Object.assign(layer, { shown: [...layer.window], levels: layer.values && (await unpack(layer.values)) });
  const weights = await Promise.all(data.curves.levels.map(async (text) =>
    Float32Array.from(new Int8Array((await unpack(text)).buffer), (level) => data.curves.even * Math.sinh(level * data.curves.ratio))));
  const tables = [data.scan.before_steps, data.scan.frames_steps].map(([hu, steps]) => Float32Array.from({ length: 256 }, (_, step) => {
    const k = steps.findLastIndex((one, at) => one <= step && at < steps.length - 1);
    return hu[k] + ((step - steps[k]) / (steps[k + 1] - steps[k])) * (hu[k + 1] - hu[k]);
  }));
  const colours = {};
  for (const [name, text] of Object.entries(data.colours)) colours[name] = new Uint32Array((await unpack(text)).buffer);

  // Values of one slice.
  const pictures = new Map();
  async function scanSlice(address, slice, table, block) { // slices stand side by side, as many in a row as rows
    if (!pictures.has(address)) pictures.set(address, decode(address));
    const { data: pixels, width: line, height: lines } = await pictures.get(address), across = Math.ceil(Math.sqrt(slices));
    const width = line / across, height = lines / Math.ceil(slices / across);
    const corner = Math.floor(slice / across) * height * line + (slice % across) * width;
    return new Float32Array(area).map((_, i) => {
      const x = Math.min(width - 1, Math.floor((i % columns) / block)), y = Math.min(height - 1, Math.floor(Math.floor(i / columns) / block));
      return table[pixels[4 * (corner + y * line + x)]];
    });
  }
  async function decode(address) {
    const image = Object.assign(new Image(), { src: address });
    await image.decode();
    const { width, height } = image, context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, width, height);
  }
  const rise = (slice, frame) => new Float32Array(area).map((_, i) => { // denoised enhancement in HU
    const voxel = place[slice * area + i];
    return voxel < 0 ? NaN : weights.reduce((sum, row, k) => sum + row[voxel] * basis[k][frame], 0);
  });
  function maximum(slice, frame) {
    const values = new Float32Array(area).fill(NaN);
    for (let k = clamp(slice - data.slab, slice); k <= clamp(slice + data.slab, slices - 1); k += 1)
      rise(k, frame).forEach((value, i) => { if (!(value <= values[i]) && !Number.isNaN(value)) values[i] = value; });
    return values;
  }
  const valueAt = (layer, voxel) => (voxel < 0 || !layer.levels[voxel] ? NaN : layer.low + (layer.levels[voxel] - 1) * layer.step);
  async function field(layer, slice, frame) {
    if (layer.key === "contrast") return rise(slice, frame);
    if (layer.key === "mip") return maximum(slice, frame);
    if (layer.levels) return Float32Array.from({ length: area }, (_, i) => valueAt(layer, place[slice * area + i]));
    const { before, frames, block } = data.scan, still = await scanSlice(before, slice, tables[0], 1);
    const more = layer.key === "raw" ? await scanSlice(frames[frame], slice, tables[1], block) : rise(slice, frame);
    return still.map((value, i) => value + (place[slice * area + i] < 0 ? 0 : more[i]));
  }

  // Pictures.
  const state = { slice: data.start, frame: data.aif.indexOf(Math.max(...data.aif)), voxel: null };
  const narrow = matchMedia("(max-width: 48rem)"), dark = matchMedia("(prefers-color-scheme: dark)");
  const panes = [...document.querySelectorAll("#viewer .pane")].map((root) => ({
    root, select: root.querySelector("select"), canvas: root.querySelector(".picture"), bar: root.querySelector(".bar"),
    ends: [...root.querySelectorAll("input")], unit: root.querySelector(".unit"), reset: root.querySelector(".reset"), turn: 0,
    get layer() { return layerOf(this.select.value); },
  }));
  async function paint(pane) {
    const { layer, canvas } = pane, turn = (pane.turn += 1), { slice, frame } = state, ratio = window.devicePixelRatio || 1;
    const where = data.labels[slice] + (layer && layer.group === "Scan" ? ` · ${times[frame]} s` : "");
    pane.root.classList.toggle("empty", !layer);
    if (!layer) return;
    const values = await field(layer, slice, frame), [low, high] = layer.shown, table = colours[layer.colours];
    if (turn !== pane.turn) return; // a later one has begun
    const pixels = new ImageData(columns, rows), words = new Uint32Array(pixels.data.buffer), share = 255 / (high - low);
    values.forEach((value, i) => { words[i] = Number.isNaN(value) ? 0xff000000 : table[clamp(Math.round((value - low) * share), 255)]; });
    const small = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
    small.getContext("2d").putImageData(pixels, 0, 0);
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round((canvas.width * tall * data.aspect) / wide);
    const context = canvas.getContext("2d"), across = canvas.width / wide, down = canvas.height / tall;
    context.imageSmoothingEnabled = layer.group === "Scan";
    context.drawImage(small, 0, 0, columns * thinning * across, rows * thinning * down);
    marks(context, slice, across * thinning, down * thinning, ratio);
    const at = state.voxel, i = at ? at.y * columns + at.x : -1, value = values[i] ?? NaN;
    const read = Number.isNaN(value) ? "" : `${layer.levels ? written(layer, place[slice * area + i]) : typeset(value, 0)} ${layer.unit}`;
    letters(context, [data.invalid + where, read], ratio);
    pane.bar.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(table.buffer), 256, 1), 0, 0);
    pane.ends.forEach((end, k) => { if (document.activeElement !== end) end.value = ends(layer)[k]; });
    pane.unit.textContent = layer.unit;
    pane.values = values;
    canvas.dataset.shown = [layer.key, slice, frame, low, high].join(" ");
    const shown = `${data.invalid}${layer.label}, ${ends(layer).join(" to ")} ${layer.unit}, slice ${where}`;
    canvas.setAttribute("aria-label", `${shown}; the patient's left is on the right${read && `; voxel ${read}`}`);
  }
  const ends = (layer) => layer.shown.map((value) => Number(value.toPrecision(3)));
  const edges = new Map(), typeset = (value, digits) => value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
  function edgesOf(name, slice, dash) { // between pixels inside and outside a mask, in pixels; dashes are half a pixel (1), or two (2)
    const key = `${name} ${slice} ${dash}`, path = new Path2D(), long = dash === 1 ? 0.5 : 1;
    if (edges.has(key)) return edges.get(key);
    const inside = (x, y) => x >= 0 && y >= 0 && x < columns && y < rows && (masks[slice * area + y * columns + x] & bits[name]) > 0;
    for (let i = 0, x = 0, y = 0; y <= rows; i += 1, x = i % (columns + 1), y = Math.floor(i / (columns + 1))) {
      if (dash === 2 && (x + 2 * y) & 2) continue;
      if (inside(x, y) !== inside(x - 1, y)) { path.moveTo(x, y); path.lineTo(x, y + long); }
      if (inside(x, y) !== inside(x, y - 1)) { path.moveTo(x, y); path.lineTo(x + long, y); }
    }
    return edges.set(key, path).get(key);
  }
  function marks(context, slice, across, down, ratio) {
    context.setTransform(across, 0, 0, down, 0, 0);
    const trace = (path, strokeStyle, width) => Object.assign(context, { strokeStyle, lineWidth: (width * ratio) / across }).stroke(path);
    const boxes = { "#lesions": ["core", "hypoperfusion"], "#vessels": ["aif", "vof"] }, dash = across > 4 * ratio ? 1 : 2;
    const names = Object.keys(boxes).flatMap((box) => (find(box).checked ? boxes[box] : []));
    for (const name of names) trace(edgesOf(name, slice, 0), "#000", 3.2); // a rim: maps have the same colours
    for (const name of names) trace(edgesOf(name, slice, data.dashed.includes(name) ? dash : 0), data.marks[name], 1.6);
    for (const [ink, width] of state.voxel ? [["#000", 4.75], ["#fff", 1.6]] : [])
      trace(new Path2D(`M${state.voxel.x - 3} ${state.voxel.y + 0.5}h2.5m2 0h2.5m-3.5 -3.5v2.5m0 2v2.5`), ink, width);
    context.resetTransform();
  }
  function letters(context, [corner, value], ratio) {
    const { width, height } = context.canvas, edge = 6 * ratio;
    Object.assign(context, { font: `600 ${14 * ratio}px system-ui, sans-serif`, fillStyle: "#fff", shadowColor: "#000", shadowBlur: 4 * ratio });
    const [right, low] = [width - edge, height - edge], below = [[corner, edge, low, "left", "bottom"], [value, right, low, "right", "bottom"]];
    for (const [text, x, y, textAlign, textBaseline] of [["R", edge, edge, "left", "top"], ["L", right, edge, "right", "top"], ...below])
      Object.assign(context, { textAlign, textBaseline }).fillText(text, x, y);
  }

  // Values and curve of one voxel.
  const cells = {}, maps = layers.filter((layer) => layer.group === "Maps"), holds = (group) => layers.some((layer) => layer.group === group);
  for (const { key, label, unit } of maps) {
    const row = find("#values tbody").insertRow();
    row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: label }));
    cells[key] = ["number", "number sd", "number reference", "unit"].map((kind) => Object.assign(row.insertCell(), { className: kind }));
    cells[key][3].textContent = unit;
  }
  for (const one of document.querySelectorAll("#viewer :is(.reference, .sd)")) one.hidden = !holds(one.matches(".sd") ? "Uncertainty" : "Reference");
  function written(layer, voxel) {
    if (!layer) return "";
    const value = valueAt(layer, voxel), sign = layer.levels[voxel] === layer.top ? "≥ " : layer.group === "Uncertainty" ? "± " : "";
    return Number.isNaN(value) ? "–" : sign + typeset(value, layer.decimals);
  }
  function read() {
    const { voxel: at, slice } = state, pixel = at ? slice * area + at.y * columns + at.x : -1, voxel = at ? place[pixel] : -1;
    for (const [key, row] of Object.entries(cells))
      ["", "_sd", "_reference"].forEach((end, k) => { row[k].textContent = written(layerOf(key + end), voxel); });
    curve(voxel);
    if (!at) return;
    const masked = Object.keys(bits).filter((name) => masks[pixel] & bits[name]).map((name) => (name.length > 3 ? name : name.toUpperCase()));
    const scan = panes.filter(({ layer, values }) => values && layer && layer.group === "Scan").map(({ layer, values }) => {
      const value = values[at.y * columns + at.x];
      return Number.isNaN(value) ? "" : `${layer.label} ${typeset(value, 0)} HU`;
    });
    const where = [`${data.labels[slice]}, column ${at.x + 1}, row ${at.y + 1}`, masked.join(", ") || "outside the brain"];
    find("#place").textContent = [...where, ...scan].filter(Boolean).join(" · ");
  }
  function curve(voxel) {
    const canvas = find("#curve"), context = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1, styles = getComputedStyle(document.body);
    const [ink, quiet, pale, purple] = ["ink", "quiet", "line", "accent"].map((name) => styles.getPropertyValue(`--${name}`).trim());
    const [left, right, top, bottom] = [40, 40, 30, 40], width = canvas.clientWidth, height = canvas.clientHeight;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    context.scale(ratio, ratio);
    Object.assign(context, { font: "12px system-ui, sans-serif", textBaseline: "middle", lineJoin: "round" });
    const tissue = voxel < 0 ? [] : times.map((_, t) => weights.reduce((sum, row, k) => sum + row[voxel] * basis[k][t], 0));
    const pair = [data.aif, tissue].map((values) => ({ values, high: Math.max(8, ...values) * 1.05 }));
    const below = Math.max(0.02, ...pair.map(({ values, high }) => -Math.min(0, ...values) / high)); // both have 0 at one height
    const x = (t) => left + ((t - times[0]) / (times[last] - times[0])) * (width - left - right);
    const y = (share) => height - bottom - ((share + below) / (1 + below)) * (height - top - bottom);
    const write = (text, px, py, textAlign, fillStyle) => Object.assign(context, { textAlign, fillStyle }).fillText(text, px, py);
    const line = (points, strokeStyle, lineWidth, dash = []) => {
      context.setLineDash(dash);
      Object.assign(context, { strokeStyle, lineWidth }).stroke(new Path2D(`M${points.join("L")}`));
    };
    pair.forEach(({ high }, k) => {
      const unit = 10 ** Math.floor(Math.log10(high)), step = [0.2, 0.5, 1, 2].map((part) => part * unit).find((part) => high / part <= 5);
      for (let v = 0; v <= high; v += step) {
        if (k) line([[left, y(v / high)], [width - right, y(v / high)]], pale, 1);
        write(Number(v.toPrecision(3)), k ? left - 6 : width - right + 6, y(v / high), k ? "right" : "left", k ? ink : purple);
      }
    });
    const every = [1, 2, 5, 10, 20, 30, 60].find((step) => (times[last] - times[0]) / step <= 6) || 300;
    for (let t = Math.ceil(times[0] / every) * every; t <= times[last]; t += every) write(t, x(t), height - bottom + 13, "center", quiet);
    const words = [["time in s", (left + width - right) / 2, height - 8, "center", quiet], ["arrival", x(data.arrival), 22, "center", quiet]];
    for (const word of [...words, ["voxel, HU", 0, 10, "left", ink], ["AIF, HU, dashed", width, 10, "right", purple]]) write(...word);
    for (const [t, dash] of [[data.arrival, [4, 3]], [times[state.frame], []]]) line([[x(t), top], [x(t), height - bottom]], quiet, 1, dash);
    pair.filter(({ values }) => values.length).forEach(({ values, high }, k) =>
      line(values.map((v, t) => [x(times[t]), y(v / high)]), [purple, ink][k], 1.5 + k, k ? [] : [7, 3]));
    const peak = (values) => `${typeset(Math.max(...values), 1)} HU at ${times[values.indexOf(Math.max(...values))]} s`;
    const said = tissue.length ? `Curve of the voxel, up to ${peak(tissue)}; arterial input` : "Arterial input";
    canvas.setAttribute("aria-label", `${said}, up to ${peak(data.aif)}; bolus arrival at ${data.arrival.toFixed(1)} s`);
    canvas.dataset.curve = tissue.map((v) => v.toFixed(2)).join(" ");
  }

  // Controls.
  const sliders = { slice: find("#slice"), frame: find("#frame") }, most = { slice: slices - 1, frame: last };
  let timer = 0, saying = 0; // what is told to who listens is told once the keys rest
  const tell = (what) => { clearTimeout(saying); saying = setTimeout(() => find("#said").replaceChildren(what().join("; ")), 500); };
  const voxelRead = () => [find("#place"), ...find("#values tbody").rows].map((one) => one.innerText);
  const pictured = () => [...panes.filter(({ layer }) => layer).map(({ canvas }) => canvas.getAttribute("aria-label")),
    boxes.some((box) => box.checked) ? "outlines" : "no outlines", timer ? "playing" : "still"];
  async function show() {
    const said = { slice: data.labels[state.slice], frame: `${times[state.frame]} s` };
    for (const [name, slider] of Object.entries(sliders)) {
      Object.assign(slider, { max: most[name], value: state[name], disabled: !most[name], ariaValueText: said[name] });
      slider.nextElementSibling.textContent = said[name];
    }
    await Promise.all(panes.map(paint));
    read();
  }
  function set(change) {
    const inside = ({ x, y }) => ({ x: clamp(x, columns - 1), y: clamp(y, rows - 1) });
    for (const [name, value] of Object.entries(change)) state[name] = name === "voxel" ? inside(value) : clamp(value, most[name]);
    return show();
  }
  function choose(left, right = panes[1].select.value) { // a reference stays beside its map
    panes[0].select.value = left;
    panes[1].select.value = right.endsWith("_reference") && layerOf(`${left}_reference`) ? `${left}_reference` : right;
    return show();
  }
  function play() {
    timer = timer ? clearInterval(timer) || 0 : setInterval(() => set({ frame: (state.frame + 1) % times.length }), 150);
    find("#play").textContent = timer ? "Pause" : "Play";
  }
  const boxes = [find("#lesions"), find("#vessels")], swap = () => panes[1].layer && choose(panes[1].select.value, panes[0].select.value);
  const outlines = () => { const off = !boxes.some((box) => box.checked); for (const box of boxes) box.checked = off; return show(); };
  const acts = { play, swap, before: () => choose("raw", "denoised"), beside: () => choose(maps[0].key, `${maps[0].key}_reference`) };
  for (const [id, act] of Object.entries(acts)) find(`#${id}`).addEventListener("click", act);
  for (const [name, slider] of Object.entries(sliders)) slider.addEventListener("input", () => set({ [name]: Number(slider.value) }));
  for (const box of boxes) box.addEventListener("change", show);
  panes.forEach((pane, which) => {
    const groups = new Map();
    for (const { group, label, key } of layers) {
      if (!groups.has(group)) groups.set(group, pane.select.appendChild(Object.assign(document.createElement("optgroup"), { label: group })));
      groups.get(group).append(new Option(label, key));
    }
    if (which) pane.select.append(new Option("Nothing beside", ""));
    pane.select.addEventListener("change", () => choose(panes[0].select.value, panes[1].select.value));
    function frame(wanted) { // numbers that are no window give way to those of the picture
      if (wanted[1] > wanted[0]) pane.layer.shown = wanted;
      pane.ends.forEach((end, k) => { end.value = ends(pane.layer)[k]; });
      return show();
    }
    for (const end of pane.ends) end.addEventListener("change", () => frame(pane.ends.map((one) => one.valueAsNumber)));
    for (const [one, event] of [[pane.reset, "click"], [pane.canvas, "dblclick"]]) one.addEventListener(event, () => frame([...pane.layer.window]));
    let drag = null;
    function point(event) {
      const box = pane.canvas.getBoundingClientRect(), at = (k, start, size, full) => Math.floor((((k - start) / size) * full) / thinning);
      return set({ voxel: { x: at(event.clientX, box.left, box.width, wide), y: at(event.clientY, box.top, box.height, tall) } });
    }
    pane.canvas.addEventListener("pointerdown", (event) => {
      find(".panes").focus({ preventScroll: true });
      point(event);
      if (event.pointerType !== "mouse") return;
      drag = { x: event.clientX, y: event.clientY, from: pane.layer.shown };
      pane.canvas.setPointerCapture(event.pointerId);
    });
    pane.canvas.addEventListener("pointermove", (event) => {
      if (!drag) return point(event);
      const [low, high] = drag.from, span = high - low, width = span * Math.max(0.05, 1 + (event.clientX - drag.x) / 300);
      const middle = (low + high) / 2 + (span * (event.clientY - drag.y)) / 300;
      return frame([middle - width / 2, middle + width / 2]);
    });
    for (const end of ["pointerup", "pointercancel"]) pane.canvas.addEventListener(end, () => { drag = null; });
  });
  const keys = { x: swap, o: outlines, " ": play };
  const named = { ...["", ...maps.map(({ key }) => key)], r: "raw", d: "denoised", c: "contrast", m: "mip" };
  const arrows = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
  find(".panes").addEventListener("keydown", (event) => {
    if (event.target.matches("select, input, button") || event.ctrlKey || event.metaKey || event.altKey) return null;
    const [x, y] = arrows[event.key] || [], at = state.voxel || { x: columns >> 1, y: rows >> 1 };
    const key = event.key.toLowerCase(), act = keys[key] || (named[key] && (() => choose(named[key])));
    if (x === undefined && !act) return null;
    event.preventDefault();
    tell(event.shiftKey && !act ? voxelRead : pictured);
    return act ? act() : set(event.shiftKey ? { voxel: { x: at.x + x, y: at.y + y } } : { slice: state.slice - y, frame: state.frame + x });
  });
  find(".panes").addEventListener("wheel", (event) => {
    if (!find(".panes").contains(document.activeElement)) return;
    event.preventDefault();
    const by = Math.sign(event.deltaX + event.deltaY);
    set(event.shiftKey ? { frame: state.frame - by } : { slice: state.slice - by });
  }, { passive: false });
  for (const [one, event] of [[dark, "change"], [window, "resize"]]) one.addEventListener(event, show);
  find(".panes").style.setProperty("--tall", (tall * data.aspect) / wide); // what fits a window is known to the style
  for (const one of document.querySelectorAll("#section-viewer, nav a[href='#section-viewer']")) one.hidden = false;
  await choose("cbf", narrow.matches ? "" : "tmax");
  document.documentElement.dataset.viewer = "ready";
})();
