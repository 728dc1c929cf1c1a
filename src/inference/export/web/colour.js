// Palettes of 256 colours as 32-bit pixels. Those of the taggram resemble the report's.
const BLUE = {
  light: [[244, 245, 245], [198, 219, 236], [109, 168, 212], [33, 102, 172], [8, 29, 68]],
  dark: [[24, 28, 34], [22, 56, 98], [30, 104, 162], [82, 160, 212], [172, 217, 244]],
};
const DIVERGING = {
  light: [[33, 102, 172], [146, 197, 222], [244, 245, 245], [244, 165, 130], [178, 24, 43]],
  dark: [[120, 190, 240], [34, 92, 146], [24, 28, 34], [150, 66, 48], [250, 150, 118]],
};
// The spectrogram is grey, so that colour is reserved for tags.
const INK = {
  light: [[250, 250, 249], [228, 229, 231], [168, 173, 182], [84, 91, 103], [18, 21, 27]],
  dark: [[18, 21, 26], [34, 39, 47], [82, 90, 102], [160, 168, 179], [248, 249, 250]],
};

const ramp = (stops) => {
  const palette = new Uint32Array(256);
  for (let index = 0; index < 256; index++) {
    const place = (index / 255) * (stops.length - 1);
    const from = Math.min(stops.length - 2, Math.floor(place));
    const [red, green, blue] = [0, 1, 2].map((k) => Math.round(stops[from][k] + (stops[from + 1][k] - stops[from][k]) * (place - from)));
    palette[index] = (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return palette;
};

export const palettes = (dark, factors) => {
  const theme = dark ? "dark" : "light";
  return { sound: ramp(INK[theme]), values: ramp((factors ? DIVERGING : BLUE)[theme]) };
};
