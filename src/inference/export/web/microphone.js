// Audio from the microphone, block by block.
import { Trouble } from "./trouble.js";

// The longest recording in seconds, because recordings are kept in memory.
export const LONGEST = 600;

const INSECURE = "Browsers allow the microphone only for https pages and localhost. Open this page as http://localhost.";
const sentences = {
  NotAllowedError: "The microphone is blocked. Allow it for this page in the browser settings, then press the button again.",
  NotFoundError: "No microphone was found. Connect one, then press the button again.",
  NotReadableError: "Another program uses the microphone. Close it, then press the button again.",
};

export class Microphone {
  #context;
  #stream;

  // Calls `heard` for every block, at the model's rate if the browser supports it, otherwise at the device's.
  static async open(rate, heard) {
    if (!navigator.mediaDevices?.getUserMedia) throw new Trouble(INSECURE);
    const microphone = new Microphone();
    try {
      // Speech enhancement distorts music.
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      microphone.#stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      throw new Trouble(sentences[error.name] ?? `The microphone could not be opened (${error.message}). Try another browser.`);
    }
    try {
      const source = microphone.#connect(rate);
      await microphone.#context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
      const recorder = new AudioWorkletNode(microphone.#context, "recorder", { numberOfOutputs: 0 });
      recorder.port.addEventListener("message", ({ data }) => heard(data));
      recorder.port.start();
      source.connect(recorder);
      await microphone.#context.resume();
    } catch (error) {
      microphone.close();
      throw new Trouble(`Recording failed (${error.message}). Reload the page, or try another browser.`);
    }
    return microphone;
  }

  // Some browsers require the context to have the rate of the microphone.
  #connect(rate) {
    try {
      this.#context = new AudioContext({ sampleRate: rate });
      return this.#context.createMediaStreamSource(this.#stream);
    } catch {
      this.#context?.close();
      this.#context = new AudioContext();
      return this.#context.createMediaStreamSource(this.#stream);
    }
  }

  get rate() {
    return this.#context.sampleRate;
  }

  close() {
    this.#stream.getTracks().forEach((track) => track.stop());
    this.#context?.close();
  }
}
