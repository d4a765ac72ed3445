"use strict";
// Linked before | after | difference viewer. Codes in the pictures are decoded to HU once a slice; windows are applied here.
(() => {
  const root = document.getElementById("viewer");
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const byId = (id) => root.querySelector("#" + id);
  const panels = byId("panels"), status = byId("status");
  const canvases = ["before", "after", "difference"].map((name) => byId("canvas-" + name));
  const hu = Float32Array.from(data.hu);
  const state = { index: Math.floor(data.slices.length / 2), center: 40, width: 400, range: 100, mode: "side",
    curtain: 0.5, zoom: 1, x: 0, y: 0, blinkAfter: false, timer: 0 };
  const decoded = new Map();

  function decode(uri, width, height) {
    return new Promise((resolve, reject) => {
      const image = new Image();
      image.onerror = () => reject(new Error("a picture could not be decoded"));
      image.onload = () => {
        const canvas = document.createElement("canvas");
        canvas.width = width; canvas.height = height;
        const context = canvas.getContext("2d", { willReadFrequently: true });
        context.drawImage(image, 0, 0);
        const pixels = context.getImageData(0, 0, width, height).data;
        const codes = new Uint8Array(width * height);
        for (let i = 0; i < codes.length; i++) codes[i] = pixels[4 * i];
        resolve(codes);
      };
      image.src = uri;
    });
  }

  function load(index) {
    if (!decoded.has(index)) {
      const slice = data.slices[index], f = data.factor;
      decoded.set(index, Promise.all([
        decode(slice.before, data.width, data.height), decode(slice.after, data.width * f, data.height * f)]));
      if (decoded.size > 24) decoded.delete(decoded.keys().next().value);
    }
    return decoded.get(index);
  }

  function greys() {
    const low = state.center - state.width / 2;
    return Uint8ClampedArray.from(hu, (v) => ((v - low) * 255) / state.width);
  }

  function paint(canvas, width, height, colour) {
    canvas.width = width; canvas.height = height;
    const context = canvas.getContext("2d"), image = context.createImageData(width, height), out = image.data;
    for (let i = 0; i < width * height; i++) { colour(i, out, 4 * i); out[4 * i + 3] = 255; }
    context.putImageData(image, 0, 0);
  }

  function paintCodes(canvas, codes, width, height) {
    const table = greys();
    paint(canvas, width, height, (i, out, o) => { out[o] = out[o + 1] = out[o + 2] = table[codes[i]]; });
  }

  function difference(before, after) {
    const { width, height, factor: f } = data, result = new Float32Array(width * height);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let v = 0; v < f; v++) for (let u = 0; u < f; u++) sum += hu[after[(y * f + v) * width * f + x * f + u]];
      result[y * width + x] = sum / (f * f) - hu[before[y * width + x]];
    }
    return result;
  }

  function paintDifference(canvas, values) {
    paint(canvas, data.width, data.height, (i, out, o) => {
      const t = Math.max(-1, Math.min(1, values[i] / state.range)), rest = 255 * (1 - Math.abs(t));
      out[o] = t > 0 ? 255 : rest; out[o + 1] = rest; out[o + 2] = t < 0 ? 255 : rest;
    });
  }

  let drawn = 0;
  async function draw() {
    const turn = ++drawn, index = state.index;
    const [before, after] = await load(index);
    if (turn !== drawn) return;
    const f = data.factor, { width, height } = data, single = state.mode !== "side";
    panels.classList.toggle("single", single);
    canvases.forEach((canvas, i) => { canvas.parentElement.hidden = single && i > 0; });
    const caption = canvases[0].parentElement.querySelector("span");
    if (state.mode === "curtain") {
      const table = greys(), split = Math.round(state.curtain * width * f);
      paint(canvases[0], width * f, height * f, (i, out, o) => {
        const x = i % (width * f), y = Math.floor(i / (width * f));
        const code = x < split ? before[Math.floor(y / f) * width + Math.floor(x / f)] : after[i];
        out[o] = out[o + 1] = out[o + 2] = x === split ? 255 : table[code];
      });
      caption.textContent = data.names[0] + " | " + data.names[1];
    } else if (state.mode === "blink" && state.blinkAfter) {
      paintCodes(canvases[0], after, width * f, height * f);
      caption.textContent = data.names[1];
    } else {
      paintCodes(canvases[0], before, width, height);
      caption.textContent = data.names[0];
    }
    if (!single) {
      paintCodes(canvases[1], after, width * f, height * f);
      paintDifference(canvases[2], difference(before, after));
    }
    for (const canvas of canvases) {
      canvas.style.aspectRatio = data.width_mm + " / " + data.height_mm;
      canvas.style.transform = `translate(${state.x}%, ${state.y}%) scale(${state.zoom})`;
    }
    const number = data.slices[index].number;
    const words = `Slice ${number} of ${data.total}, window centre ${state.center} HU, width ${state.width} HU`;
    status.textContent = words + (single ? "" : `, difference ±${state.range} HU`);
    canvases.forEach((canvas, i) => canvas.setAttribute("aria-label",
      `${[...data.names, "difference"][i]}, ${words.toLowerCase()}`));
    root.dataset.shown = String(number);
    for (const [i, tile] of tiles) tile.button.setAttribute("aria-current", String(i === index));
    for (const next of [index + 1, index - 1]) if (data.slices[next]) load(next);
  }

  function set(change) {
    Object.assign(state, change);
    state.index = Math.max(0, Math.min(data.slices.length - 1, state.index));
    state.width = Math.max(1, state.width);
    state.zoom = Math.max(1, Math.min(8, state.zoom));
    const room = 100 * (1 - state.zoom);
    state.x = Math.max(room, Math.min(0, state.x)); state.y = Math.max(room, Math.min(0, state.y));
    byId("slice").value = state.index; byId("center").value = state.center; byId("width").value = state.width;
    byId("range").value = state.range; byId("mode").value = state.mode; byId("zoom").value = state.zoom;
    byId("curtain").value = state.curtain; byId("curtain").disabled = state.mode !== "curtain";
    for (const button of root.querySelectorAll("button[data-window]")) {
      const [c, w] = data.windows[button.dataset.window];
      button.setAttribute("aria-pressed", String(c === state.center && w === state.width));
    }
    clearInterval(state.timer);
    if (state.mode === "blink") state.timer = setInterval(() => { state.blinkAfter = !state.blinkAfter; draw(); }, 600);
    draw();
    clearTimeout(painting);
    painting = setTimeout(paintMontage, 200);
  }

  // Montage: up to twelve slices spread over the scan, painted a moment after the last change of the window.
  const tiles = new Map();
  let painting = 0, painted = "";
  function layMontage() {
    const count = Math.min(12, data.slices.length);
    for (let n = 0; n < count; n++) {
      const index = Math.floor(((n + 0.5) * data.slices.length) / count), number = data.slices[index].number;
      const button = document.createElement("button"), canvas = document.createElement("canvas");
      button.type = "button"; button.setAttribute("aria-label", `Slice ${number}`);
      canvas.style.aspectRatio = data.width_mm + " / " + data.height_mm;
      button.append(canvas, Object.assign(document.createElement("span"), { textContent: number }));
      button.addEventListener("click", () => { set({ index }); panels.scrollIntoView({ block: "nearest" }); });
      byId("montage").append(button);
      tiles.set(index, { button, canvas, codes: null });
    }
  }
  async function paintMontage() {
    const what = byId("montage-of").value, now = [what, state.center, state.width, state.range].join();
    if (now === painted) return;
    painted = now;
    const f = data.factor, { width, height } = data;
    for (const [index, tile] of tiles) {
      const slice = data.slices[index];
      tile.codes ??= await Promise.all([decode(slice.before, width, height), decode(slice.after, width * f, height * f)]);
      const [before, after] = tile.codes;
      if (what === "difference") paintDifference(tile.canvas, difference(before, after));
      else if (what === "before") paintCodes(tile.canvas, before, width, height);
      else paintCodes(tile.canvas, after, width * f, height * f);
    }
  }

  byId("slice").max = data.slices.length - 1;
  const bind = (id, event, change) => byId(id).addEventListener(event, (e) => set(change(e.target.value)));
  bind("slice", "input", (v) => ({ index: Number(v) }));
  bind("center", "change", (v) => ({ center: Number(v) }));
  bind("width", "change", (v) => ({ width: Number(v) }));
  bind("range", "input", (v) => ({ range: Number(v) }));
  bind("mode", "change", (v) => ({ mode: v }));
  bind("curtain", "input", (v) => ({ curtain: Number(v) }));
  bind("zoom", "input", (v) => ({ zoom: Number(v) }));
  for (const button of root.querySelectorAll("button[data-window]")) button.addEventListener("click", () => {
    const [center, width] = data.windows[button.dataset.window]; set({ center, width });
  });
  panels.addEventListener("wheel", (e) => {
    e.preventDefault();
    set(e.ctrlKey ? { zoom: state.zoom * (e.deltaY < 0 ? 1.25 : 0.8) } : { index: state.index + Math.sign(e.deltaY) });
  }, { passive: false });
  panels.addEventListener("keydown", (e) => {
    const keys = { ArrowUp: { index: state.index - 1 }, ArrowDown: { index: state.index + 1 }, PageUp: { index: state.index - 5 },
      PageDown: { index: state.index + 5 }, Home: { index: 0 }, End: { index: data.slices.length - 1 },
      ArrowLeft: { width: state.width - 20 }, ArrowRight: { width: state.width + 20 },
      "+": { zoom: state.zoom * 1.25 }, "-": { zoom: state.zoom * 0.8 },
      b: { mode: state.mode === "blink" ? "side" : "blink" }, c: { mode: state.mode === "curtain" ? "side" : "curtain" } };
    if (keys[e.key]) { e.preventDefault(); set(keys[e.key]); }
  });
  let drag = null;
  panels.addEventListener("pointerdown", (e) => { drag = { x: e.clientX, y: e.clientY, width: state.width, center: state.center, px: state.x, py: state.y }; });
  window.addEventListener("pointerup", () => { drag = null; });
  panels.addEventListener("pointermove", (e) => {
    const box = canvases[0].parentElement.getBoundingClientRect();
    if (state.mode === "curtain" && !drag) return;
    if (!drag) return;
    const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
    if (state.mode === "curtain") set({ curtain: Math.max(0, Math.min(1, (e.clientX - box.left) / box.width)) });
    else if (state.zoom > 1) set({ x: drag.px + (100 * dx) / box.width, y: drag.py + (100 * dy) / box.height });
    else set({ width: Math.round(drag.width + 2 * dx), center: Math.round(drag.center + dy) });
  });
  byId("montage-of").addEventListener("change", () => set({}));
  layMontage();
  set({});
})();
