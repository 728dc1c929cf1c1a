// Live predictions from the microphone, with a moving spectrogram.
import { resample } from "./audio.js";
import { LONGEST } from "./microphone.js";
import { BANDS, Spectrum, decibels, level } from "./spectrogram.js";

// Visible time in seconds, and columns of the spectrogram in that time.
export const SPAN = 30;
const COLUMNS = 1200;
// Minimum time between two predictions, in seconds.
const EVERY = 0.5;

export class Live {
  length = 0;
  peak = 0;
  #columns = 0;
  #loudest = -30;
  #power = new Float64Array(BANDS);

  constructor(rate, model) {
    this.rate = rate;
    this.model = model;
    this.samples = new Float32Array(60 * rate);
    this.spectrum = new Spectrum(rate);
    this.picture = { spectrum: this.spectrum, columns: COLUMNS, first: 0, filled: 0, levels: new Uint8Array(COLUMNS * BANDS) };
  }

  get seconds() {
    return this.length / this.rate;
  }

  get full() {
    return this.seconds >= LONGEST;
  }

  get recorded() {
    return this.samples.subarray(0, this.length);
  }

  hear(block) {
    if (this.length + block.length > this.samples.length) {
      const larger = new Float32Array(2 * this.samples.length);
      larger.set(this.recorded);
      this.samples = larger;
    }
    this.samples.set(block, this.length);
    this.length += block.length;
    for (const sample of block) if (Math.abs(sample) > this.peak) this.peak = Math.abs(sample);
    const hop = (SPAN * this.rate) / COLUMNS;
    while ((this.#columns + 0.5) * hop + this.spectrum.window / 2 <= this.length) this.#column((this.#columns + 0.5) * hop);
  }

  #column(centre) {
    this.#power.fill(0);
    this.spectrum.add(this.samples, centre, this.#power);
    const values = Array.from(this.#power, decibels);
    // The reference level falls by 20 dB in the visible time.
    this.#loudest = Math.max(this.#loudest - 20 / COLUMNS, ...values);
    const { picture } = this;
    const at = (this.#columns % COLUMNS) * BANDS;
    values.forEach((value, band) => (picture.levels[at + band] = level(value, this.#loudest)));
    this.#columns++;
    picture.first = this.#columns % COLUMNS;
    picture.filled = Math.min(COLUMNS, this.#columns);
  }

  // Yields columns of the taggram while `wanted` returns true. Until a complete excerpt is recorded, it is padded with
  // silence, as for a short file.
  async *looks(wanted) {
    let last = 0;
    const { card } = this.model;
    while (wanted()) {
      if (this.length - last < EVERY * this.rate) {
        await new Promise((resolve) => setTimeout(resolve, 40));
        continue;
      }
      last = this.length;
      const seconds = card.excerpt / card.rate;
      const first = Math.max(0, last - Math.ceil(seconds * this.rate));
      const heard = await resample(this.samples.slice(first, last), this.rate, card.rate);
      const [values] = await this.model.excerpts(heard, [0]);
      if (wanted()) yield { start: first / this.rate, end: last / this.rate, values };
    }
  }
}
