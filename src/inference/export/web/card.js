// Reads, checks and shows the model card (card.json).
import { Trouble } from "./trouble.js";
import { whole } from "./numbers.js";

const text = (value) => (typeof value === "string" && value.trim() !== "" ? value : null);
const positive = (value) => (Number.isInteger(value) && value > 0 ? value : null);

export const read = async () => {
  let raw;
  try {
    const answer = await fetch("card.json");
    if (!answer.ok) throw new Error();
    raw = await answer.json();
  } catch {
    throw new Trouble("card.json could not be read. Put the exported card.json next to index.html.");
  }
  if (raw?.format !== 1) throw new Trouble("card.json has an unsupported format. Export the model and the page again.");
  const card = {
    name: text(raw.name) ?? "Network",
    about: text(raw.about),
    architecture: text(raw.architecture),
    rate: positive(raw.sample_rate),
    excerpt: positive(raw.excerpt_samples),
    factors: raw.outputs === "factors",
    tags: Array.isArray(raw.tags) ? raw.tags.map(String) : [],
    dataset: [text(raw.dataset?.name), text(raw.dataset?.settings?.split)].filter(Boolean).join(", split "),
    licence: text(raw.licence),
    commit: text(raw.commit),
    scores: raw.scores ?? null,
  };
  if (!card.rate || !card.excerpt) throw new Trouble("card.json has no sample rate or excerpt length. Export the model again.");
  if (!card.factors && card.tags.length === 0) throw new Trouble("card.json has no tags. Export the model again.");
  return card;
};

const measures = [["roc_auc_macro", "ROC-AUC"], ["pr_auc_macro", "PR-AUC"]];

const scores = (values) => {
  const known = measures.filter(([key]) => Number.isFinite(values?.[key])).map(([key, name]) => `${name} ${values[key].toFixed(3)}`);
  if (known.length === 0) return null;
  const split = text(values.split);
  return `${known.join(", ")} (macro${split ? `, ${split} split` : ""})`;
};

export const add = (section, name, value) => {
  const [term, words] = ["dt", "dd"].map((element) => document.createElement(element));
  term.textContent = name;
  words.textContent = value;
  if (name === "commit") words.className = "path";
  section.querySelector("dl").append(term, words);
};

export const show = (section, card) => {
  const seconds = card.excerpt / card.rate;
  const entries = [
    ["architecture", card.architecture],
    ["input", `excerpts of ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s, mono, ${whole(card.rate)} Hz`],
    ["output", card.factors ? "latent factors" : `${whole(card.tags.length)} ${card.tags.length === 1 ? "tag" : "tags"}`],
    ["trained on", card.dataset],
    ["scores", scores(card.scores)],
    ["licence", card.licence],
    ["commit", card.commit],
  ];
  const list = section.querySelector("dl");
  list.replaceChildren();
  for (const [name, value] of entries) if (value !== null) add(section, name, value);
  section.hidden = false;
};
