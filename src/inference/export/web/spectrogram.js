// Mel spectrogram in decibels, one byte per band.
import { pause } from "./audio.js";

export const BANDS = 144;
// Dynamic range in decibels.
const RANGE = 70;
// The range never extends below this level, even for quiet audio.
const FLOOR = -80;

const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const hertz = (value) => 700 * (10 ** (value / 2595) - 1);

// In-place Fourier transform; the size is a power of two.
class Fourier {
  constructor(size) {
    this.size = size;
    this.cos = Float64Array.from({ length: size / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sin = Float64Array.from({ length: size / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / size));
    const bits = Math.log2(size);
    this.place = Uint32Array.from({ length: size }, (_, i) => {
      let turned = 0;
      for (let bit = 0; bit < bits; bit++) turned |= ((i >> bit) & 1) << (bits - 1 - bit);
      return turned;
    });
  }

  run(re, im) {
    const { size, cos, sin, place } = this;
    for (let i = 0; i < size; i++) {
      const j = place[i];
      if (j > i) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / 2 / half;
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const a = start + k, b = a + half;
          const c = cos[k * stride], s = sin[k * stride];
          const x = re[b] * c - im[b] * s;
          const y = re[b] * s + im[b] * c;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }
}

export class Spectrum {
  constructor(rate) {
    this.rate = rate;
    // About 60 ms: long enough to resolve low notes, short enough for drums.
    this.window = 2 ** Math.round(Math.log2(0.06 * rate));
    this.hann = Float64Array.from({ length: this.window }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / this.window));
    // Zero-padded to twice the window, so that the narrow low bands contain enough bins.
    this.fourier = new Fourier(2 * this.window);
    this.re = new Float64Array(2 * this.window);
    this.im = new Float64Array(2 * this.window);
    this.lowest = mel(40);
    this.highest = mel(rate / 2);
    const bin = rate / (2 * this.window);
    const width = (this.highest - this.lowest) / BANDS;
    this.filters = Array.from({ length: BANDS }, (_, band) => {
      const centre = hertz(this.lowest + (band + 0.5) * width) / bin;
      const reach = Math.max(1.5, (hertz(this.lowest + (band + 1.5) * width) - hertz(this.lowest + (band - 0.5) * width)) / bin / 2);
      const first = Math.max(1, Math.ceil(centre - reach));
      const weights = [];
      for (let k = first; k <= Math.min(this.window - 1, centre + reach); k++) weights.push(1 - Math.abs(k - centre) / reach);
      const sum = weights.reduce((a, b) => a + b, 0);
      return { first, weights: weights.map((weight) => weight / sum) };
    });
    // A sine at full scale has 0 dB.
    this.gain = (4 / this.window) ** 2;
  }

  // Adds the power of each band around `centre` to `out`.
  add(samples, centre, out) {
    const { re, im, window, hann } = this;
    re.fill(0);
    im.fill(0);
    const start = Math.round(centre) - window / 2;
    for (let i = 0; i < window; i++) re[i] = (samples[start + i] ?? 0) * hann[i];
    this.fourier.run(re, im);
    this.filters.forEach(({ first, weights }, band) => {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * (re[first + k] ** 2 + im[first + k] ** 2);
      out[band] += sum * this.gain;
    });
  }

  // Relative height of a frequency, 0 at the bottom, and its inverse.
  height(frequency) {
    return (mel(frequency) - this.lowest) / (this.highest - this.lowest);
  }

  frequency(height) {
    return hertz(this.lowest + height * (this.highest - this.lowest));
  }

  get ticks() {
    // From top to bottom, without overlapping labels.
    let above = 1.05;
    return [16000, 8000, 4000, 2000, 1000, 500, 250, 100].filter((tick) => {
      const height = this.height(tick);
      if (above - height < 0.085) return false;
      above = height;
      return true;
    });
  }
}

export const decibels = (power) => 10 * Math.log10(power + 1e-12);

export const level = (value, loudest) => {
  const top = Math.max(loudest, FLOOR + RANGE);
  return Math.max(0, Math.min(255, Math.round(((value - top) / RANGE + 1) * 255)));
};

// Spectrogram of a file, column by column, each from the lowest band up. Stops when `wanted` returns false.
export const picture = async (samples, rate, wanted) => {
  const spectrum = new Spectrum(rate);
  const columns = Math.max(1, Math.min(1600, Math.ceil(samples.length / (spectrum.window / 8))));
  const hop = samples.length / columns;
  const frames = Math.max(1, Math.min(4, Math.round(hop / spectrum.window)));
  const values = new Float32Array(columns * BANDS);
  const power = new Float64Array(BANDS);
  let loudest = -Infinity;
  let rested = performance.now();
  for (let column = 0; column < columns; column++) {
    power.fill(0);
    for (let frame = 0; frame < frames; frame++) spectrum.add(samples, (column + (frame + 0.5) / frames) * hop, power);
    for (let band = 0; band < BANDS; band++) {
      const value = decibels(power[band] / frames);
      values[column * BANDS + band] = value;
      if (value > loudest) loudest = value;
    }
    if (performance.now() - rested > 12) {
      await pause();
      if (!wanted()) return null;
      rested = performance.now();
    }
  }
  return { spectrum, columns, first: 0, filled: columns, levels: Uint8Array.from(values, (value) => level(value, loudest)) };
};

// Draws a ring buffer of columns: `first` is the column at the left edge, and the last `filled` columns are valid.
export const paint = (canvas, { levels, columns, first, filled }, palette) => {
  const sheet = new OffscreenCanvas(columns, BANDS);
  const context = sheet.getContext("2d");
  const image = context.createImageData(columns, BANDS);
  const pixels = new Uint32Array(image.data.buffer);
  for (let column = columns - filled; column < columns; column++) {
    const from = ((column + first) % columns) * BANDS;
    for (let band = 0; band < BANDS; band++) pixels[(BANDS - 1 - band) * columns + column] = palette[levels[from + band]];
  }
  context.putImageData(image, 0, 0);
  const on = canvas.getContext("2d");
  on.clearRect(0, 0, canvas.width, canvas.height);
  on.imageSmoothingQuality = "high";
  on.drawImage(sheet, 0, 0, canvas.width, canvas.height);
};
