// Values over time: the excerpts, the time that each represents, and how they are drawn.

export class Taggram {
  // Each column has `outputs` values.
  constructor(outputs) {
    this.outputs = outputs;
    this.columns = [];
  }

  // Adds columns {start, end, values} in any order; times and the end `until` are in seconds.
  add(columns, until) {
    this.columns = [...this.columns, ...columns].sort((a, b) => a.start - b.start);
    // Excerpts overlap: each represents the time that is closest to its middle.
    const middles = this.columns.map(({ start, end }) => (start + end) / 2);
    this.columns.forEach((column, c) => {
      column.from = c === 0 ? 0 : (middles[c - 1] + middles[c]) / 2;
      column.to = c === middles.length - 1 ? until : (middles[c] + middles[c + 1]) / 2;
    });
  }

  at(time) {
    let low = 0, high = this.columns.length - 1;
    while (low < high) {
      const half = (low + high + 1) >> 1;
      if (this.columns[half].from <= time) low = half;
      else high = half - 1;
    }
    return this.columns[low] ?? null;
  }

  // Draws the time from `left` to `right`; `scale` maps a value to 0..255.
  strip(canvas, output, left, right, scale, palette) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    const perSecond = canvas.width / (right - left);
    let last = 0;
    for (const { from, to, values } of this.columns) {
      const x = Math.max(last, Math.round((from - left) * perSecond));
      const end = Math.min(canvas.width, Math.round((to - left) * perSecond));
      if (end <= x) continue;
      const pixel = palette[scale(values[output])];
      context.fillStyle = `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
      context.fillRect(x, 0, end - x, canvas.height);
      last = end;
    }
  }
}
