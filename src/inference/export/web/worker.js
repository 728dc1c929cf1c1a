// Runs the network in a worker, so that the page stays responsive.
import { runtime } from "./runtime.js";

// An error whose message is shown to the user. Other errors are bugs.
class Trouble extends Error {}

const base = new URL(runtime, import.meta.url);
let ort, session;

// The adapter of a hardware GPU, or null. Software renderers are slower than WebAssembly.
const adapter = async () => {
  try {
    const found = await navigator.gpu?.requestAdapter();
    return found && !(found.info?.isFallbackAdapter ?? found.isFallbackAdapter) ? found : null;
  } catch {
    return null;
  }
};

const load = async (files) => {
  for (const file of files) {
    try {
      const library = await import(new URL(file, base).href);
      library.env.logLevel = "error";
      // Threads need shared memory, which servers must enable with two headers.
      library.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
      return library;
    } catch {
      // Try the next file.
    }
  }
  throw new Trouble(`onnxruntime-web could not be loaded from ${base.href}. Check the connection, or export again with --runtime.`);
};

const fetched = async () => {
  let answer;
  try {
    answer = await fetch(new URL("model.onnx", import.meta.url));
  } catch {
    throw new Trouble("model.onnx could not be loaded. Check the connection and reload the page.");
  }
  if (!answer.ok) throw new Trouble(`model.onnx could not be loaded (HTTP status ${answer.status}). Put it next to index.html.`);
  return new Uint8Array(await answer.arrayBuffer());
};

const opened = (bytes, provider) =>
  ort.InferenceSession.create(bytes, { executionProviders: [provider], graphOptimizationLevel: "all", logSeverityLevel: 3 });

const run = async (network, audio, batch) => {
  const input = new ort.Tensor("float32", audio, [batch, audio.length / batch]);
  const { activations } = await network.run({ audio: input }, ["activations"]);
  const values = Float32Array.from(await activations.getData());
  activations.dispose();
  return values;
};

// Reproducible noise for the comparison of providers.
const noise = (length) => {
  let state = 1;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 33 - 0.25;
  });
};

const near = (a, b) => {
  const scale = b.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  return a.length === b.length && a.every((value, index) => Math.abs(value - b[index]) <= 0.01 * scale);
};

const start = async ({ excerpt, wanted }) => {
  const bytes = await fetched();
  const gpu = wanted === "wasm" ? false : wanted === "webgpu" || (await adapter()) !== null;
  const both = ["ort.webgpu.bundle.min.mjs", "ort.wasm.bundle.min.mjs", "ort.bundle.min.mjs"];
  ort = await load(gpu ? both : [both[1], both[0], both[2]]);
  const test = noise(excerpt);
  let plain;
  try {
    plain = await opened(bytes, "wasm");
  } catch (error) {
    throw new Trouble(`model.onnx could not be opened (${error.message}). Export it again.`);
  }
  const expected = await run(plain, test, 1);
  let provider = "wasm";
  session = plain;
  let remark = "";
  if (gpu) {
    // Drivers have bugs: use the GPU only if its results match those of the CPU.
    try {
      const fast = await opened(bytes, "webgpu");
      if (near(await run(fast, test, 1), expected)) {
        session = fast;
        provider = "webgpu";
        await plain.release();
      } else {
        remark = "WebGPU is not used because its results differ.";
        await fast.release();
      }
    } catch {
      remark = "WebGPU is available but cannot run this network.";
    }
  }
  return { provider, remark, outputs: expected.length, threads: ort.env.wasm.numThreads };
};

self.addEventListener("message", async ({ data }) => {
  try {
    if (data.kind === "start") self.postMessage({ id: data.id, ...(await start(data)) });
    if (data.kind === "run") {
      const values = await run(session, data.audio, data.batch);
      self.postMessage({ id: data.id, values }, [values.buffer]);
    }
  } catch (error) {
    self.postMessage({ id: data.id, trouble: error instanceof Trouble ? error.message : `The network stopped: ${error.message}` });
  }
});
