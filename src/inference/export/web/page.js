// Controls the page: from a file or the microphone to predictions.
import { decode, resample, wav } from "./audio.js";
import { add, read, show } from "./card.js";
import { beginnings, between } from "./excerpts.js";
import { Live, SPAN } from "./live.js";
import { LONGEST, Microphone } from "./microphone.js";
import { Model } from "./model.js";
import { clock, whole } from "./numbers.js";
import { Player } from "./player.js";
import { FEW, Rows } from "./rows.js";
import { Screen } from "./screen.js";
import { picture } from "./spectrogram.js";
import { Taggram } from "./taggram.js";
import { offer } from "./theme.js";
import { Trouble } from "./trouble.js";

const by = (id) => document.getElementById(id);
by("blocked").remove();

const rows = new Rows(by("rows"));
const screen = new Screen(rows);
const player = new Player(screen, () => stop());
offer(by("theme"), () => screen.repaint());

let card, model;
// Number of the current job. Older jobs stop when it changes.
let job = 0;
let microphone = null, live = null;
let values = null;

const state = (name) => (document.body.dataset.state = name);
const progress = (text) => (by("progress").textContent = text);

const complain = (error) => {
  if (!(error instanceof Trouble)) console.error(error);
  by("trouble").textContent = error instanceof Trouble ? error.message : `Unexpected error (${error.message}). Reload the page.`;
  by("trouble").hidden = false;
};

const publish = (excerpts, more = {}) => {
  const tags = model.names.map((name, index) => [name, values[index]]).sort((a, b) => b[1] - a[1]);
  by("result").textContent = JSON.stringify({ tags, provider: model.provider, excerpts, ...more });
};

// Resets the page before the first prediction.
const clear = (title) => {
  by("trouble").hidden = true;
  by("result").textContent = "";
  by("title").textContent = title;
  by("clock").textContent = "";
  by("reading").textContent = "";
  by("hertz").replaceChildren();
  screen.picture = null;
  screen.taggram = null;
  screen.live = false;
  player.load(null, 0);
  values = null;
  rows.reset(model?.names ?? [], card?.factors ?? false);
  more();
  by("work").hidden = false;
  screen.repaint();
};

const more = () => {
  const count = model?.outputs ?? 0;
  by("more").hidden = count <= FEW || !values;
  by("more").textContent = rows.all ? `Show the first ${FEW}` : `Show all ${whole(count)}`;
  by("more").setAttribute("aria-expanded", String(rows.all));
};

// Factors are unbounded: the largest one so far fills the bar.
const widen = (columns) => {
  if (!card.factors) return;
  if (!screen.taggram?.columns.length) rows.extent = 1e-6;
  for (const column of columns) for (const value of column.values) rows.extent = Math.max(rows.extent, Math.abs(value));
};

const seconds = () => {
  const length = card.excerpt / card.rate;
  return `${length < 10 ? length.toFixed(1) : Math.round(length)} s`;
};

// Predicts the excerpts that start at `starts`, in batches, and adds them to the taggram; calls `got` for each batch.
const listen = async (samples, starts, wanted, got) => {
  for (let at = 0; at < starts.length; at += model.batch) {
    const batch = starts.slice(at, at + model.batch);
    const results = await model.excerpts(samples, batch);
    if (!wanted()) return;
    const columns = batch.map((start, k) => ({
      start: start / card.rate,
      end: Math.min(samples.length, start + card.excerpt) / card.rate,
      values: results[k],
    }));
    widen(columns);
    screen.taggram.add(columns, samples.length / card.rate);
    got(columns, at + batch.length);
    screen.draw();
  }
};

// Predicts excerpts between the existing ones, as long as it is fast enough.
const refine = async (samples, cost, wanted) => {
  const patience = 12000, finest = 0.2, most = 700;
  let hop = card.excerpt, count = Math.ceil(samples.length / hop);
  for (;;) {
    hop /= 2;
    const starts = between(samples.length, card.excerpt, hop);
    count += starts.length;
    if (hop / card.rate < finest || count > most || starts.length * cost > patience) return;
    await listen(samples, starts, wanted, () => {});
    if (!wanted()) return;
    player.refresh();
  }
};

const analyse = async (samples, blob, token) => {
  const wanted = () => token === job;
  const duration = samples.length / card.rate;
  Object.assign(screen, { left: 0, right: duration, live: false, taggram: new Taggram(model.outputs) });
  player.load(blob, duration);
  picture(samples, card.rate, wanted).then((found) => {
    if (!found) return;
    screen.picture = found;
    screen.hertz(found.spectrum);
    screen.draw();
  });

  const starts = beginnings(samples.length, card.excerpt);
  const sums = new Float64Array(model.outputs);
  const began = performance.now();
  progress(`predicting ${whole(starts.length)} ${starts.length === 1 ? "excerpt" : "excerpts"} of ${seconds()}`);
  await listen(samples, starts, wanted, (columns, done) => {
    for (const column of columns) column.values.forEach((value, index) => (sums[index] += value));
    values = sums.map((sum) => sum / done);
    rows.show(values);
    more();
    if (done < starts.length) progress(`predicted ${whole(done)} of ${whole(starts.length)} excerpts`);
  });
  if (!wanted()) return;
  screen.repaint();
  player.refresh();
  const filled = samples.length < card.excerpt ? ", padded with silence" : "";
  by("reading").textContent = [
    starts.length === 1 ? `Bars: one excerpt of ${seconds()}${filled}.` : `Bars: mean of ${whole(starts.length)} excerpts of ${seconds()}.`,
    ...(starts.length === 1 ? [] : ["Marks: value at the play head.", "Strips: overlapping excerpts, each drawn at its middle."]),
  ].join(" ");
  publish(starts.length);
  const cost = (performance.now() - began) / starts.length;
  progress(`${whole(starts.length)} ${starts.length === 1 ? "excerpt" : "excerpts"} in ${Math.max(0.1, (cost * starts.length) / 1000).toFixed(1)} s`);
  state("file");
  await refine(samples, cost, wanted);
  if (wanted()) {
    screen.repaint();
    state("done");
  }
};

const quiet = () => {
  microphone?.close();
  microphone = null;
  live = null;
};

const open = async (file) => {
  const token = ++job;
  quiet();
  state("busy");
  clear(file.name);
  progress("waiting for the network");
  try {
    await ready;
    if (token !== job) return;
    clear(file.name);
    progress("decoding");
    const samples = await decode(file, card.rate);
    if (token === job) await analyse(samples, file, token);
  } catch (error) {
    fail(error, token);
  }
};

const fail = (error, token) => {
  if (token !== job) return;
  job++;
  quiet();
  progress("");
  screen.live = false;
  by("work").hidden = true;
  state("idle");
  complain(error);
};

const record = async () => {
  if (live) return;
  const token = ++job;
  const wanted = () => token === job;
  quiet();
  state("busy");
  by("trouble").hidden = true;
  try {
    await ready;
    let heard = () => {};
    const opened = await Microphone.open(card.rate, (block) => heard(block));
    if (!wanted()) return opened.close();
    clear("Microphone");
    microphone = opened;
    live = new Live(opened.rate, model);
    Object.assign(screen, { live: true, picture: live.picture, taggram: new Taggram(model.outputs) });
    screen.hertz(live.spectrum);
    player.load(null, 0);
    state("live");
    heard = (block) => {
      if (!wanted()) return;
      live.hear(block);
      Object.assign(screen, { left: live.seconds - SPAN, right: live.seconds });
      by("clock").textContent = clock(live.seconds);
      screen.draw();
      if (live.full) stop();
    };
    progress("recording");
    const end = `Stop to play the recording and see all of it. Recording ends after ${LONGEST / 60} minutes.`;
    by("reading").textContent = `Bars: the last ${seconds()}. ${end}`;
    let looks = 0, sorted = -Infinity;
    for await (const column of live.looks(wanted)) {
      widen([column]);
      screen.taggram.columns = screen.taggram.columns.filter(({ to }) => to > screen.left);
      screen.taggram.add([column], Infinity);
      values = column.values;
      // Sort at most once per second, so that names can be read.
      const keep = performance.now() - sorted < 1000;
      if (!keep) sorted = performance.now();
      rows.show(values, keep);
      more();
      const enough = live.seconds * card.rate >= card.excerpt;
      progress(live.peak === 0 ? "silence; is the microphone on?" : enough ? `the last ${seconds()}` : `recorded less than ${seconds()} so far`);
      publish(++looks, { live: true });
      if (card.factors) screen.repaint();
    }
  } catch (error) {
    fail(error, token);
  }
};

// Ends the recording and treats it like a file.
const stop = async () => {
  if (!live) return;
  const token = ++job;
  const { rate } = live;
  const recorded = live.recorded.slice();
  quiet();
  state("busy");
  try {
    if (recorded.length < rate / 5) throw new Trouble("Nothing was recorded. Record for at least one second.");
    clear("Recording");
    progress("resampling");
    const samples = await resample(recorded, rate, card.rate);
    if (token === job) await analyse(samples, wav(recorded, rate), token);
  } catch (error) {
    fail(error, token);
  }
};

const engine = ({ provider, threads, remark }) => {
  const name = provider === "webgpu" ? "WebGPU" : "WebAssembly";
  by("engine").textContent = `runs on ${name}`;
  by("engine").dataset.provider = provider;
  const how = provider === "webgpu" ? "the GPU" : threads > 1 ? `${threads} CPU threads` : "one CPU thread";
  add(by("card"), "runs on", [`${name}, ${how}`, remark].filter(Boolean).join(". "));
};

const ready = (async () => {
  card = await read();
  document.title = card.name;
  by("name").textContent = card.name;
  by("about").textContent = card.about ?? "";
  show(by("card"), card);
  const network = new Model(card);
  // `?provider=wasm` and `?provider=webgpu` select a provider for comparison.
  await network.start(new URLSearchParams(location.search).get("provider"));
  model = network;
  engine(model);
})();
ready.catch((error) => {
  by("engine").textContent = "not loaded";
  by("engine").dataset.provider = "none";
  fail(error, job);
});

by("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  // Allow choosing the same file again.
  if (file) open(file).finally(() => (target.value = ""));
});
by("microphone").addEventListener("click", record);
by("more").addEventListener("click", () => {
  rows.all = !rows.all;
  rows.show(values);
  more();
  screen.draw();
});

let over = 0;
const dragging = (change) => {
  over = change === 0 ? 0 : Math.max(0, over + change);
  document.body.classList.toggle("dragging", over > 0);
};
addEventListener("dragenter", (event) => { event.preventDefault(); dragging(1); });
addEventListener("dragleave", () => dragging(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dragging(0);
  const [file] = event.dataTransfer.files;
  if (file) open(file);
  else complain(new Trouble("Only files can be dropped here. Drop an audio file from this computer."));
});
