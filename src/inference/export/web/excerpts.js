// Where the excerpts begin whose mean is a file's value, as in model.onnx itself: side by side from the start, as many whole
// ones as fit; one, filled with silence, if none does.
export const beginnings = (length, excerpt) => Array.from({ length: Math.max(1, Math.floor(length / excerpt)) }, (_, k) => k * excerpt);

// Those halfway between excerpts that are `hop` * 2 apart, all of them within the file.
export const between = (length, excerpt, hop) => {
  const starts = [];
  for (let k = 1; k * hop + excerpt <= length; k += 2) starts.push(Math.round(k * hop));
  return starts;
};
