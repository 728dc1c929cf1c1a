// Draws the spectrogram, the values over time, the axes, the play head and the tooltip.
import { clock, share, signed } from "./numbers.js";
import { palettes } from "./colour.js";
import { paint } from "./spectrogram.js";
import { dark } from "./theme.js";

const by = (id) => document.getElementById(id);
const work = by("work");
const spectrogram = by("spectrogram");
const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200];

const fitted = (canvas, width, height) => {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width === w && canvas.height === h) return false;
  canvas.width = w;
  canvas.height = h;
  return true;
};

export class Screen {
  // Visible time from `left` to `right` in seconds; with `live`, the axis counts back from the end.
  left = 0;
  right = 1;
  live = false;
  picture = null;
  taggram = null;
  #asked = false;
  #painted = null;

  constructor(rows) {
    this.rows = rows;
    new ResizeObserver(() => this.repaint()).observe(spectrogram);
    work.addEventListener("pointermove", (event) => this.#over(event));
    work.addEventListener("pointerleave", () => this.#out());
  }

  // Redraws everything after a change of colours or sizes.
  repaint() {
    this.#painted = null;
    this.#ramp();
    this.draw();
  }

  draw() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      if (!work.hidden) this.#paint();
    });
  }

  #paint() {
    const { sound, values } = palettes(dark(), this.rows.factors);
    const canvas = spectrogram.firstElementChild;
    const { clientWidth: width, clientHeight: height } = spectrogram;
    const resized = fitted(canvas, width, height);
    if (this.picture && (this.live || resized || this.#painted !== this.picture)) {
      paint(canvas, this.picture, sound);
      this.#painted = this.picture;
    } else if (!this.picture) {
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      this.#painted = null;
    }
    const shown = this.rows.shown;
    const strip = shown[0]?.time;
    const [wide, high] = strip ? [strip.clientWidth, strip.clientHeight] : [0, 0];
    for (const { canvas: sheet, index } of shown) {
      fitted(sheet, wide, high);
      this.taggram?.strip(sheet, index, this.left, this.right, this.rows.scale, values);
    }
    this.#axis(width);
  }

  #axis(width) {
    const length = this.right - this.left;
    const step = STEPS.find((seconds) => (seconds / length) * width >= 64) ?? STEPS.at(-1);
    const labels = [];
    const origin = this.live ? this.right : 0;
    for (let k = this.live ? -Math.floor(length / step) : 0; k * step <= (this.live ? 0 : this.right); k++) {
      const place = (origin + k * step - this.left) / length;
      const label = document.createElement("span");
      label.style.left = `${100 * place}%`;
      label.textContent = this.live ? (k === 0 ? "now" : `\u2212${-k * step} s`) : clock(k * step, step < 1);
      // Keep the outermost labels inside the axis.
      if (place < 0.02) label.className = "first";
      if (place > 1 - 24 / width) label.className = "last";
      labels.push(label);
    }
    by("seconds").replaceChildren(...labels);
  }

  hertz(spectrum) {
    by("hertz").replaceChildren(
      ...spectrum.ticks.map((tick) => {
        const label = document.createElement("span");
        label.style.bottom = `${100 * spectrum.height(tick)}%`;
        label.textContent = tick < 1000 ? `${tick} Hz` : `${tick / 1000} kHz`;
        return label;
      }),
    );
  }

  #ramp() {
    const canvas = by("ramp");
    const image = new ImageData(256, 1);
    new Uint32Array(image.data.buffer).set(palettes(dark(), this.rows.factors).values);
    canvas.getContext("2d").putImageData(image, 0, 0);
    const { factors, extent } = this.rows;
    by("low").textContent = factors ? signed(-extent) : share(0);
    by("high").textContent = factors ? signed(extent) : share(1);
  }

  // Shows the play head at `time`; null hides it.
  head(time) {
    const shown = time !== null && this.right > this.left;
    work.classList.toggle("headed", shown);
    if (shown) work.style.setProperty("--head-at", Math.max(0, Math.min(1, (time - this.left) / (this.right - this.left))));
    this.rows.mark(shown ? (this.taggram?.at(time)?.values ?? null) : null);
  }

  // The time at the pointer and the element under it; null outside of such elements.
  under(event, held = null) {
    const over = held ?? event.target.closest?.(".time");
    if (!over) return null;
    const box = over.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return { over, share, height: 1 - (event.clientY - box.top) / box.height, time: this.left + share * (this.right - this.left) };
  }

  #out() {
    by("tip").hidden = true;
    work.classList.remove("crossed");
  }

  #over(event) {
    const place = event.pointerType === "touch" ? null : this.under(event);
    const column = place && this.taggram?.at(place.time);
    if (!place || place.time < 0) return this.#out();
    const lines = [];
    const from = this.live ? `${(this.right - place.time).toFixed(1)} s ago` : clock(place.time, true);
    if (place.over === spectrogram) {
      const frequency = this.picture?.spectrum.frequency(place.height);
      lines.push([from, frequency ? `${Math.round(frequency)} Hz` : ""]);
      if (column) for (const { index, words } of this.#strongest(column.values)) lines.push([words, this.rows.text(column.values[index])]);
    } else {
      const row = this.rows.row(place.over.parentElement.dataset.index);
      if (!column) return this.#out();
      lines.push([row.words, this.rows.text(column.values[row.index])]);
      lines.push([from, this.live ? "" : `excerpt ${clock(column.start, true)} to ${clock(column.end, true)}`]);
    }
    const tip = by("tip");
    tip.replaceChildren(
      ...lines.map((texts) => {
        const line = document.createElement("div");
        line.append(...texts.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
        return line;
      }),
    );
    tip.hidden = false;
    const { innerWidth: width, innerHeight: height } = window;
    const x = event.clientX + 14 + tip.offsetWidth > width - 8 ? event.clientX - 14 - tip.offsetWidth : event.clientX + 14;
    const y = Math.min(event.clientY + 14, height - 8 - tip.offsetHeight);
    tip.style.transform = `translate(${Math.max(8, x)}px, ${y}px)`;
    work.style.setProperty("--cross", place.share);
    work.classList.add("crossed");
  }

  #strongest(values) {
    const shown = this.rows.shown.slice();
    const strength = ({ index }) => (this.rows.factors ? Math.abs(values[index]) : values[index]);
    return shown.sort((a, b) => strength(b) - strength(a)).slice(0, 3);
  }
}
