"use strict";
(() => {
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const data = JSON.parse(by("data").textContent);
  const count = data.titles.length;
  const points = Float32Array.from(data.points);
  const extent = 65535;
  // As the other pages write them: groups of three, from five digits on.
  const whole = (number) => number < 10000 ? String(number) : String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

  // Light and dark.
  const remember = (value) => { try { localStorage.setItem("theme", value); } catch { /* a page opened from disk may have no storage */ } };
  const recalled = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const known = recalled();
  if (known === "light" || known === "dark") root.dataset.theme = known;
  by("theme").hidden = false;
  by("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
    root.dataset.theme = dark ? "light" : "dark";
    remember(root.dataset.theme);
    recolour();
  });
  system.addEventListener("change", () => recolour());

  // Which points lie where: squares of the plane, each with its stretch of one list.
  const cells = Math.max(1, Math.min(512, Math.round(Math.sqrt(count / 3))));
  const cellOf = (v) => Math.max(0, Math.min(cells - 1, Math.floor(v / (extent + 1) * cells)));
  const starts = new Int32Array(cells * cells + 1);
  const inCell = new Int32Array(count);
  for (let i = 0; i < count; i++) starts[cellOf(points[2 * i + 1]) * cells + cellOf(points[2 * i]) + 1]++;
  for (let c = 0; c < cells * cells; c++) starts[c + 1] += starts[c];
  const next = starts.slice();
  for (let i = 0; i < count; i++) inCell[next[cellOf(points[2 * i + 1]) * cells + cellOf(points[2 * i])]++] = i;

  // The view: pixel = point * scale + offset.
  const canvas = by("map");
  const context = canvas.getContext("2d");
  let width = 0, height = 0, ratio = 1;
  let scale = 1, left = 0, top = 0, least = 1;
  let image = null, pixels = null;
  const fit = () => {
    least = Math.min(width, height) * 0.94 / extent;
    scale = least;
    left = (width - extent * scale) / 2;
    top = (height - extent * scale) / 2;
  };
  const zoomAt = (x, y, factor) => {
    const to = Math.max(least * 0.5, Math.min(least * 400, scale * factor));
    left = x - (x - left) * to / scale;
    top = y - (y - top) * to / scale;
    scale = to;
    draw();
  };
  const radius = () => {
    const base = Math.max(1.1, Math.min(4, 0.35 * Math.sqrt(width * height / count) / ratio));
    return Math.min(9, base * Math.pow(scale / least, 0.4)) * ratio;
  };

  // Colours: of the most frequent tags, of one tag, or none.
  const slots = ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5"];
  const few = Math.min(slots.length, data.tags.length);
  const chooser = by("colour");
  const option = (value, text) => { const o = document.createElement("option"); o.value = value; o.textContent = text; chooser.append(o); };
  if (few > 0) option("most", few === 1 ? "by the only tag" : "by the rarest of " + few + " top tags");
  data.tags.forEach((tag, t) => option(String(t), tag + " (" + whole(data.counts[t]) + ")"));
  option("none", "all alike");
  const colourOf = new Uint8Array(count); // 0 is the ground's grey, slot + 1 else
  const matched = new Uint8Array(count);
  let query = "";
  let order = new Int32Array(count);
  let palette = [];
  const choose = () => {
    colourOf.fill(0);
    const wanted = chooser.value;
    if (wanted === "most") {
      // A track with several gets the rarest, which would else be hidden.
      for (let i = 0; i < count; i++) for (const t of data.tagged[i]) if (t < few && t + 1 > colourOf[i]) colourOf[i] = t + 1;
    } else if (wanted === "none") {
      colourOf.fill(1);
    } else {
      const t = Number(wanted);
      for (let i = 0; i < count; i++) if (data.tagged[i].includes(t)) colourOf[i] = 1;
    }
    // What stands out is drawn last.
    const rank = (i) => (query !== "" && matched[i] ? 2 : 0) + (colourOf[i] > 0 ? 1 : 0);
    const bins = [0, 0, 0, 0, 0];
    for (let i = 0; i < count; i++) bins[rank(i) + 1]++;
    for (let r = 0; r < 4; r++) bins[r + 1] += bins[r];
    for (let i = 0; i < count; i++) order[bins[rank(i)]++] = i;
    legend();
    draw();
  };
  const legend = () => {
    const list = by("legend");
    list.replaceChildren();
    const wanted = chooser.value;
    const entry = (slot, tag, value) => {
      const [item, button, swatch, small] = ["li", "button", "span", "small"].map((name) => document.createElement(name));
      button.type = "button";
      swatch.className = "swatch";
      swatch.style.background = "var(" + slots[slot] + ")";
      small.textContent = whole(data.counts[tag]);
      button.append(swatch, data.tags[tag], small);
      button.title = data.tags[tag];
      button.setAttribute("aria-pressed", String(wanted !== "most"));
      button.addEventListener("click", () => { chooser.value = value; choose(); });
      item.append(button);
      list.append(item);
    };
    if (wanted === "most") for (let t = 0; t < few; t++) entry(t, t, String(t));
    else if (wanted !== "none") entry(0, Number(wanted), few > 0 ? "most" : "none");
    let rest = 0;
    for (let i = 0; i < count; i++) if (colourOf[i] === 0) rest++;
    if (rest > 0) {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      item.className = "rest";
      swatch.className = "swatch";
      swatch.style.background = "color-mix(in srgb, var(--soft) 50%, var(--panel))";
      item.append(swatch, "others " + whole(rest));
      list.append(item);
    }
  };
  const rgb = (name) => {
    const hex = getComputedStyle(root).getPropertyValue(name).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  };
  let ground = [255, 255, 255], ink = [0, 0, 0];
  const recolour = () => {
    ground = rgb("--panel");
    ink = rgb("--ink");
    palette = [rgb("--soft"), ...slots.map(rgb)];
    draw();
  };

  // Drawing: discs with soft edges, blended into one image by hand, since a call of the canvas for
  // each of many thousands would take many times as long.
  const stamps = new Map();
  const stampOf = (r) => {
    if (!stamps.has(r)) {
      if (stamps.size > 64) stamps.clear();
      const half = Math.ceil(r + 0.5);
      const size = 2 * half + 1;
      const alpha = new Float32Array(size * size);
      for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) {
        alpha[y * size + x] = Math.max(0, Math.min(1, r + 0.5 - Math.hypot(x - half, y - half)));
      }
      stamps.set(r, { half, size, alpha });
    }
    return stamps.get(r);
  };
  const disc = (i, { half, size, alpha }, [red, green, blue], strength) => {
    const x = Math.round(points[2 * i] * scale + left) - half;
    const y = Math.round(points[2 * i + 1] * scale + top) - half;
    if (x >= width || y >= height || x + size <= 0 || y + size <= 0) return;
    const x0 = Math.max(0, -x), x1 = Math.min(size, width - x);
    const y0 = Math.max(0, -y), y1 = Math.min(size, height - y);
    for (let b = y0; b < y1; b++) {
      let at = (y + b) * width + x + x0;
      for (let a = x0; a < x1; a++, at++) {
        const w = alpha[b * size + a] * strength;
        if (w === 0) continue;
        const old = pixels[at];
        const or = old & 255, og = old >> 8 & 255, ob = old >> 16 & 255;
        pixels[at] = 0xff000000 | (ob + (blue - ob) * w) << 16 | (og + (green - og) * w) << 8 | (or + (red - or) * w);
      }
    }
  };
  let selected = -1, hovered = -1, asked = false;
  const draw = () => { if (!asked) { asked = true; requestAnimationFrame(paint); } };
  const paint = () => {
    asked = false;
    if (width === 0 || height === 0) return;
    if (!image || image.width !== width || image.height !== height) {
      image = context.createImageData(width, height);
      pixels = new Uint32Array(image.data.buffer);
    }
    pixels.fill(0xff000000 | ground[2] << 16 | ground[1] << 8 | ground[0]);
    const r = Math.round(radius() * 4) / 4;
    const [small, large, rim] = [stampOf(r), stampOf(r + ratio), stampOf(r + 2.5 * ratio)];
    // What stands back is mixed with the ground, so that many of it do not add up to more.
    const back = (colour, share) => colour.map((c, k) => ground[k] + (c - ground[k]) * share);
    const tones = palette.map((colour, slot) => slot === 0 ? back(colour, 0.5) : colour);
    const faded = palette.map((colour) => back(colour, 0.22));
    for (let k = 0; k < count; k++) {
      const i = order[k];
      if (query === "") disc(i, small, tones[colourOf[i]], 0.8);
      else if (!matched[i]) disc(i, small, faded[colourOf[i]], 0.8);
      else {
        disc(i, rim, ground, 1);
        disc(i, large, palette[colourOf[i]], 1);
      }
    }
    context.putImageData(image, 0, 0);
    for (const [i, wide] of [[selected, 2], [hovered, 1.5]]) {
      if (i < 0) continue;
      context.strokeStyle = "rgb(" + ink.join(" ") + ")";
      context.lineWidth = wide * ratio;
      context.beginPath();
      context.arc(points[2 * i] * scale + left, points[2 * i + 1] * scale + top, r + 2.5 * ratio, 0, 2 * Math.PI);
      context.stroke();
    }
  };

  // The nearest point within reach of a pixel.
  const nearest = (x, y) => {
    const reach = radius() + 6 * ratio;
    const [px, py, d] = [(x - left) / scale, (y - top) / scale, reach / scale];
    if (px + d < 0 || py + d < 0 || px - d > extent || py - d > extent) return -1;
    let best = d * d, found = -1;
    const [c0, c1] = [cellOf(px - d), cellOf(px + d)];
    for (let row = cellOf(py - d); row <= cellOf(py + d); row++) {
      for (let k = starts[row * cells + c0]; k < starts[row * cells + c1 + 1]; k++) {
        const i = inCell[k];
        if (query !== "" && !matched[i]) continue;
        const dx = points[2 * i] - px, dy = points[2 * i + 1] - py;
        const square = dx * dx + dy * dy;
        if (square < best) { best = square; found = i; }
      }
    }
    return found;
  };
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const names = (i) => data.tagged[i].map((t) => data.tags[t]).join(", ");
  const hover = (event) => {
    const box = canvas.getBoundingClientRect();
    const found = nearest((event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio);
    canvas.classList.toggle("over", found >= 0);
    if (found !== hovered) { hovered = found; draw(); }
    tip.hidden = found < 0;
    if (found < 0) return;
    const [title, tags] = [document.createElement("b"), document.createElement("div")];
    title.textContent = data.titles[found];
    tags.textContent = names(found);
    tip.replaceChildren(title, tags);
    const { offsetWidth: w, offsetHeight: h } = tip;
    const x = event.clientX + 14 + w > innerWidth ? event.clientX - 14 - w : event.clientX + 14;
    const y = event.clientY + 14 + h > innerHeight ? event.clientY - 14 - h : event.clientY + 14;
    tip.style.left = Math.max(0, x) + scrollX + "px";
    tip.style.top = Math.max(0, y) + scrollY + "px";
  };
  const unhover = () => { tip.hidden = true; if (hovered >= 0) { hovered = -1; draw(); } };

  // One track: its card, and its sound.
  const player = by("player"), silent = by("silent");
  const select = (i, play) => {
    selected = i;
    by("card").hidden = i < 0;
    player.pause();
    if (i >= 0) {
      by("card").querySelector("h2").textContent = data.titles[i];
      by("has").textContent = names(i);
      const audio = data.audio[i];
      player.hidden = audio === "";
      silent.textContent = audio === "" ? "Its audio file is not at hand." : "";
      if (audio === "") player.removeAttribute("src");
      else {
        player.src = audio;
        // Browsers may refuse to start; the button is there. A missing file is told below.
        if (play) player.play().catch(() => {});
      }
    }
    draw();
  };
  player.addEventListener("error", () => {
    if (!player.getAttribute("src")) return;
    let address = player.getAttribute("src");
    try { address = decodeURIComponent(address); } catch { /* not of UTF-8: shown as it is */ }
    player.hidden = true;
    silent.textContent = "Its audio file cannot be played: " + address;
  });
  by("close").addEventListener("click", () => select(-1, false));

  // Pointers: one drags, two pinch, one that hardly moves clicks.
  const held = new Map();
  let travelled = 0;
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio]; };
  const span = () => { const [a, b] = [...held.values()]; return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, Math.hypot(a[0] - b[0], a[1] - b[1])]; };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (held.size === 0) travelled = 0;
    held.set(event.pointerId, place(event));
    by("matches").hidden = true;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return hover(event);
    const [old, now] = [held.get(event.pointerId), place(event)];
    if (held.size === 1) {
      travelled += Math.hypot(now[0] - old[0], now[1] - old[1]);
      if (travelled > 4 * ratio) { canvas.classList.add("moving"); tip.hidden = true; }
      left += now[0] - old[0];
      top += now[1] - old[1];
      held.set(event.pointerId, now);
      draw();
    } else if (held.size === 2) {
      travelled = Infinity;
      const before = span();
      held.set(event.pointerId, now);
      const after = span();
      left += after[0] - before[0];
      top += after[1] - before[1];
      if (before[2] > 0) zoomAt(after[0], after[1], after[2] / before[2]);
    }
  });
  const release = (event) => {
    if (!held.delete(event.pointerId)) return;
    canvas.classList.remove("moving");
    if (event.type === "pointerup" && travelled <= 4 * ratio) {
      const [x, y] = place(event);
      select(nearest(x, y), true);
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", unhover);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [x, y] = place(event);
    zoomAt(x, y, Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016)));
  }, { passive: false });
  const middle = (factor) => zoomAt(width / 2, height / 2, factor);
  const showAll = () => { fit(); draw(); };
  by("in").addEventListener("click", () => middle(1.6));
  by("out").addEventListener("click", () => middle(1 / 1.6));
  by("all").addEventListener("click", showAll);
  canvas.addEventListener("keydown", (event) => {
    const step = 60 * ratio;
    const does = {
      "+": () => middle(1.3), "=": () => middle(1.3), "-": () => middle(1 / 1.3), "0": showAll, Escape: () => select(-1, false),
      ArrowLeft: () => { left += step; draw(); }, ArrowRight: () => { left -= step; draw(); },
      ArrowUp: () => { top += step; draw(); }, ArrowDown: () => { top -= step; draw(); },
    }[event.key];
    if (does && !event.ctrlKey && !event.metaKey) { event.preventDefault(); does(); }
  });

  // Search: what matches stays, the rest fades; Enter shows all that match.
  const folded = data.titles.map((title) => title.toLocaleLowerCase());
  const goTo = (list) => {
    unhover();
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const i of list) {
      x0 = Math.min(x0, points[2 * i]); x1 = Math.max(x1, points[2 * i]);
      y0 = Math.min(y0, points[2 * i + 1]); y1 = Math.max(y1, points[2 * i + 1]);
    }
    const room = Math.max(x1 - x0, (y1 - y0) * width / height, extent / 20);
    scale = Math.max(least * 0.5, Math.min(least * 400, width * 0.7 / room));
    left = width / 2 - (x0 + x1) / 2 * scale;
    top = height / 2 - (y0 + y1) / 2 * scale;
    draw();
  };
  let hits = [];
  const search = () => {
    unhover();
    query = by("search").value.trim().toLocaleLowerCase();
    hits = [];
    for (let i = 0; i < count; i++) {
      matched[i] = query !== "" && folded[i].includes(query) ? 1 : 0;
      if (matched[i]) hits.push(i);
    }
    by("found").textContent = query === "" ? "" : hits.length === 1 ? "1 track" : whole(hits.length) + " tracks";
    const list = by("matches");
    list.hidden = hits.length === 0;
    list.replaceChildren(...hits.slice(0, 30).map((i) => {
      const [item, button] = [document.createElement("li"), document.createElement("button")];
      button.type = "button";
      button.textContent = data.titles[i];
      button.addEventListener("click", () => { list.hidden = true; goTo([i]); select(i, true); });
      item.append(button);
      return item;
    }));
    choose();
  };
  by("search").addEventListener("input", search);
  by("search").addEventListener("keydown", (event) => {
    if (event.key === "Escape") { by("search").value = ""; search(); }
    if (event.key === "Enter" && hits.length > 0) { by("matches").hidden = true; goTo(hits); }
  });
  chooser.addEventListener("change", choose);

  // The canvas has a pixel for each of the screen; what was in the middle stays there.
  const resize = () => {
    const box = by("stage").getBoundingClientRect();
    ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.max(1, Math.round(box.width * ratio)), Math.max(1, Math.round(box.height * ratio))];
    if (w === width && h === height) return;
    const first = width === 0, whole = scale === least;
    left += (w - width) / 2;
    top += (h - height) / 2;
    [width, height] = [w, h];
    canvas.width = w;
    canvas.height = h;
    if (first || whole) fit();
    else least = Math.min(width, height) * 0.94 / extent;
    draw();
  };
  new ResizeObserver(resize).observe(by("stage"));
  resize();
  recolour();
  choose();
})();
