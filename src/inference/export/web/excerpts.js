// Starts of the excerpts that are averaged for a file, as in model.onnx itself: consecutive complete excerpts, or one that
// is padded with silence if the file is shorter.
export const beginnings = (length, excerpt) => Array.from({ length: Math.max(1, Math.floor(length / excerpt)) }, (_, k) => k * excerpt);

// Starts halfway between excerpts at a distance of `hop` * 2, within the file.
export const between = (length, excerpt, hop) => {
  const starts = [];
  for (let k = 1; k * hop + excerpt <= length; k += 2) starts.push(Math.round(k * hop));
  return starts;
};
