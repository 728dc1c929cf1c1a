// Decodes files to mono samples at the model's rate, and writes recordings as WAV files.
import { nativeRate } from "./native_rate.js";
import { Trouble } from "./trouble.js";

export const pause = () => new Promise((resolve) => setTimeout(resolve));

// Decoding resamples to the rate of the context. Not every browser supports every rate.
const decoder = (rate) => {
  try {
    return new OfflineAudioContext(1, 1, rate);
  } catch {
    return new OfflineAudioContext(1, 1, 48000);
  }
};

export const decode = async (file, rate) => {
  let buffer;
  try {
    const bytes = await file.arrayBuffer();
    // Most files whose rate is unknown have 48 kHz or less.
    buffer = await decoder(nativeRate(bytes) ?? 48000).decodeAudioData(bytes);
  } catch {
    // Memory may be too small for an hour of audio at that rate; the model's rate is usually lower.
    try {
      buffer = await decoder(rate).decodeAudioData(await file.arrayBuffer());
    } catch {
      throw new Trouble(`This browser cannot decode ${file.name}. Try an MP3, FLAC, Ogg, M4A or WAV file.`);
    }
  }
  if (buffer.length === 0) throw new Trouble(`${file.name} contains no audio. Try another file.`);
  return resample(downmix(buffer), buffer.sampleRate, rate);
};

const downmix = (buffer) => {
  const mono = buffer.getChannelData(0).slice();
  const channels = buffer.numberOfChannels;
  if (channels === 1) return mono;
  for (let channel = 1; channel < channels; channel++) {
    const other = buffer.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] += other[i];
  }
  for (let i = 0; i < mono.length; i++) mono[i] /= channels;
  return mono;
};

// Zero crossings of the sinc on each side, and the shape of the Kaiser window.
const CROSSINGS = 64;
const BETA = 9;
// Cut-off of the filter, relative to half the lower rate. Frequencies above half the lower rate are removed.
const MIDDLE = 0.97;

const bessel = (x) => {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
};

const divisor = (a, b) => (b === 0 ? a : divisor(b, a % b));

// A separate function, because engines compile loops in asynchronous functions late.
const product = (samples, start, filter) => {
  const last = Math.min(filter.length, samples.length - start);
  let sum = 0;
  for (let k = Math.max(0, -start); k < last; k++) sum += samples[start + k] * filter[k];
  return sum;
};

// Resamples with a windowed sinc. Returns the samples unchanged if both rates are equal.
export const resample = async (samples, from, to) => {
  if (from === to) return samples;
  const cut = MIDDLE * Math.min(1, to / from);
  const reach = Math.ceil(CROSSINGS / cut);
  const whole = bessel(BETA);
  const tap = (distance) => {
    const x = distance * cut;
    if (Math.abs(x) >= CROSSINGS) return 0;
    const window = bessel(BETA * Math.sqrt(1 - (x / CROSSINGS) ** 2)) / whole;
    return (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x)) * window * cut;
  };
  // New samples fall on a limited number of positions between two old ones: one filter for each.
  const common = divisor(from, to);
  const [up, down] = [to / common, from / common];
  const filters = new Array(up);
  const out = new Float32Array(Math.max(1, Math.round((samples.length * to) / from)));
  let rested = performance.now();
  for (let i = 0; i < out.length; i++) {
    const phase = (i * down) % up;
    const before = (i * down - phase) / up;
    const filter = (filters[phase] ??= Float64Array.from({ length: 2 * reach }, (_, k) => tap(k - reach + 1 - phase / up)));
    const start = before - reach + 1;
    out[i] = product(samples, start, filter);
    if (i % 4096 === 0 && performance.now() - rested > 30) {
      await pause();
      rested = performance.now();
    }
  }
  return out;
};

// A recording as a WAV file, for playback.
export const wav = (samples, rate) => {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const word = (at, letters) => [...letters].forEach((letter, k) => view.setUint8(at + k, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => view.setInt16(44 + 2 * i, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true));
  return new Blob([view.buffer], { type: "audio/wav" });
};
