// Runs the network in worker.js.
import { Trouble } from "./trouble.js";

const NO_THREAD = "The worker could not be started. Use a browser from 2023 or later, and check that worker.js is next to index.html.";

export class Model {
  #worker;
  #waiting = new Map();
  #next = 0;

  constructor(card) {
    this.card = card;
    this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => {
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.trouble) reject(new Trouble(data.trouble));
      else resolve(data);
    });
    // Loading errors of the worker arrive only here.
    this.#worker.addEventListener("error", () => {
      for (const { reject } of this.#waiting.values()) reject(new Trouble(NO_THREAD));
      this.#waiting.clear();
    });
  }

  #ask(message, moved = []) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...message, id }, moved);
    });
  }

  async start(wanted) {
    const { provider, remark, outputs, threads } = await this.#ask({ kind: "start", excerpt: this.card.excerpt, wanted });
    if (this.card.tags.length && outputs !== this.card.tags.length) {
      throw new Trouble(`model.onnx has ${outputs} outputs, but card.json has ${this.card.tags.length} tags. Export both again.`);
    }
    Object.assign(this, { provider, remark, outputs, threads });
    // Latent factors have no names.
    this.names = this.card.tags.length ? this.card.tags : Array.from({ length: outputs }, (_, index) => `factor ${index + 1}`);
  }

  // Excerpts per batch: few enough that progress is visible.
  get batch() {
    return Math.max(1, Math.min(8, Math.floor(4e6 / this.card.excerpt)));
  }

  // Values of the excerpts that start at `starts`, one row per excerpt. Samples after the end are silence.
  async excerpts(samples, starts) {
    const length = this.card.excerpt;
    const audio = new Float32Array(starts.length * length);
    starts.forEach((start, row) => audio.set(samples.subarray(start, start + length), row * length));
    const { values } = await this.#ask({ kind: "run", audio, batch: starts.length }, [audio.buffer]);
    return starts.map((_, row) => values.subarray(row * this.outputs, (row + 1) * this.outputs));
  }
}
