// What the microphone hears, as it comes.
import { Trouble } from "./trouble.js";

// The longest recording, in seconds: it lies in memory.
export const LONGEST = 600;

const INSECURE = "Browsers give the microphone only to pages from https or from this machine: open the page as http://localhost.";
const sentences = {
  NotAllowedError: "The microphone may not be used: allow it in the browser's settings for this page, then press the button again.",
  NotFoundError: "No microphone was found: connect one, then press the button again.",
  NotReadableError: "The microphone is in use: close the other program, then press the button again.",
};

export class Microphone {
  #context;
  #stream;

  // Calls `heard` for every block. Its rate is the model's where the browser can do that, else the device's.
  static async open(rate, heard) {
    if (!navigator.mediaDevices?.getUserMedia) throw new Trouble(INSECURE);
    const microphone = new Microphone();
    try {
      // What makes speech clearer takes music away.
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      microphone.#stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      throw new Trouble(sentences[error.name] ?? `The microphone could not be opened (${error.message}): try another browser.`);
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
      throw new Trouble(`The microphone could not be listened to (${error.message}): load the page again, or try another browser.`);
    }
    return microphone;
  }

  // Some browsers connect a microphone only to a context of its own rate.
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
