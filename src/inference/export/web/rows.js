// The list of tags: each row shows name, value, bar, and values over time.
import { share, signed } from "./numbers.js";

// Number of rows that are shown by default.
export const FEW = 12;

const made = (name, className, ...children) => {
  const element = document.createElement(name);
  element.className = className;
  element.append(...children);
  return element;
};

export class Rows {
  #list;
  #rows = [];

  constructor(list) {
    this.#list = list;
    this.all = false;
  }

  // In tags such as `genre---jazz`, the category is before the dashes.
  reset(names, factors) {
    this.factors = factors;
    this.extent = 1;
    this.#rows = names.map((name, index) => {
      const [kind, rest] = name.includes("---") ? name.split(/---(.*)/s) : [null, name];
      const words = made("span", "tag");
      words.textContent = rest.replaceAll("_", " ");
      const label = made("span", "name", words);
      if (kind) {
        const small = made("small", "");
        small.textContent = kind.replaceAll("_", " ");
        label.append(small);
      }
      label.title = name;
      const fill = made("span", "fill");
      const now = made("span", "now");
      const bar = made("span", factors ? "bar both" : "bar", fill, now);
      bar.setAttribute("aria-hidden", "true");
      const value = made("span", "value");
      const canvas = made("canvas", "");
      const time = made("div", "time strip", canvas);
      const item = made("li", "line", made("div", "left", label, bar, value), time);
      item.dataset.index = index;
      return { index, words: words.textContent, item, fill, now, value, canvas, time };
    });
    this.#list.replaceChildren();
    this.#list.classList.toggle("factors", factors);
  }

  get shown() {
    return [...this.#list.children].map((item) => this.#rows[item.dataset.index]);
  }

  row(index) {
    return this.#rows[index];
  }

  text(value) {
    return this.factors ? signed(value) : share(value);
  }

  // Relative length of the bar: 0 to 1, for factors -1 to 1.
  part(value) {
    return Math.max(this.factors ? -1 : 0, Math.min(1, value / this.extent));
  }

  // Colour index, 0 to 255.
  scale = (value) => Math.round(this.factors ? (this.part(value) + 1) * 127.5 : this.part(value) * 255);

  // Shows values, strongest first; `keep` does not change the order.
  show(values, keep = false) {
    const strength = (index) => (this.factors ? Math.abs(values[index]) : values[index]);
    if (!keep) {
      const order = this.#rows.map(({ index }) => index).sort((a, b) => strength(b) - strength(a));
      const items = order.slice(0, this.all ? order.length : FEW).map((index) => this.#rows[index].item);
      // Rows that are in place are not moved, which avoids flicker and keeps the focus.
      items.forEach((item, place) => {
        if (this.#list.children[place] !== item) this.#list.insertBefore(item, this.#list.children[place] ?? null);
      });
      while (this.#list.children.length > items.length) this.#list.lastChild.remove();
    }
    for (const { index, fill, value } of this.#rows) {
      const part = this.part(values[index]);
      fill.style.transform = `scaleX(${part})`;
      fill.className = this.factors ? `fill ${part < 0 ? "minus" : "plus"}` : "fill";
      value.textContent = this.text(values[index]);
    }
  }

  // Marks values at one point in time on the bars; null removes the marks.
  mark(values) {
    for (const { index, now } of this.#rows) {
      now.hidden = !values;
      if (!values) continue;
      const part = this.part(values[index]);
      now.style.left = `${this.factors ? 50 + 50 * part : 100 * part}%`;
    }
  }
}
