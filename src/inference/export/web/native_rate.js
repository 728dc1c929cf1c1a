// Reads the sample rate from the header of a file. A browser can decode at any rate, but its resampling favours speed over
// quality. At the file's own rate it does not resample, and audio.js resamples with high quality instead.

const word = (view, at, letters) => at >= 0 && at + letters.length <= view.byteLength && [...letters].every((letter, k) => view.getUint8(at + k) === letter.charCodeAt(0));

const find = (view, letters, from, to) => {
  for (let at = from; at < Math.min(to, view.byteLength - letters.length); at++) if (word(view, at, letters)) return at;
  return -1;
};

const wav = (view) => {
  const at = find(view, "fmt ", 12, 65536);
  return at < 0 ? null : view.getUint32(at + 12, true);
};

// 20 bits in the first block after the marker at `at`.
const flac = (view, at) => (view.getUint16(at + 18) << 4) | (view.getUint8(at + 20) >> 4);

const ogg = (view) => {
  const vorbis = find(view, "\u0001vorbis", 0, 512);
  if (vorbis >= 0) return view.getUint32(vorbis + 12, true);
  // Opus always decodes at 48 kHz; its header has the rate of the original recording.
  if (find(view, "OpusHead", 0, 512) >= 0) return 48000;
  const mark = find(view, "fLaC", 0, 512);
  return mark < 0 ? null : flac(view, mark);
};

// The integer part (16 bits) in the description of the first AAC track, which can be at the end of the file.
const mp4 = (view) => {
  for (let at = find(view, "mp4a", 8, Infinity); at >= 0; at = find(view, "mp4a", at + 4, Infinity)) {
    // Lists of brands contain the same letters, but no valid channel count follows them.
    if (at + 30 <= view.byteLength && view.getUint32(at + 4) === 0 && view.getUint16(at + 20) > 0) return view.getUint16(at + 28);
  }
  return null;
};

const MPEG = [44100, 48000, 32000];
const AAC = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

// The first frame after the tags: eleven one bits, then valid fields.
const mpeg = (view) => {
  let at = 0;
  if (word(view, 0, "ID3")) at = 10 + [6, 7, 8, 9].reduce((size, k) => size * 128 + (view.getUint8(k) & 127), 0);
  for (const end = Math.min(at + 65536, view.byteLength - 4); at < end; at++) {
    if (view.getUint8(at) !== 255 || view.getUint8(at + 1) < 224) continue;
    const [second, third] = [view.getUint8(at + 1), view.getUint8(at + 2)];
    const [version, layer] = [(second >> 3) & 3, (second >> 1) & 3];
    if (layer === 0 && second >= 240) return AAC[(third >> 2) & 15] ?? null;
    const rate = MPEG[(third >> 2) & 3];
    if (version === 1 || layer === 0 || rate === undefined || third >> 4 === 15 || third >> 4 === 0) continue;
    return rate / { 3: 1, 2: 2, 0: 4 }[version];
  }
  return null;
};

// Null if the rate is not found.
export const nativeRate = (bytes) => {
  const view = new DataView(bytes);
  try {
    const rate = word(view, 0, "RIFF") ? wav(view)
      : word(view, 0, "fLaC") ? flac(view, 0)
      : word(view, 0, "OggS") ? ogg(view)
      : word(view, 4, "ftyp") ? mp4(view)
      : mpeg(view);
    return rate >= 4000 && rate <= 384000 ? rate : null;
  } catch {
    return null; // the file is shorter than its header
  }
};
