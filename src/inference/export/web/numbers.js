// Integers as on the other pages: digits in groups of three, from five digits on.
export const whole = (number) => (number < 10000 ? String(number) : String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f"));

export const share = (value) => `${Math.round(value * 100)}\u202f%`;

export const signed = (value) => (value < 0 ? "\u2212" : "") + Math.abs(value).toFixed(2);

export const clock = (seconds, tenths = false) => {
  // Round first, so that 59.97 is 1:00.0 and not 0:60.0.
  const unit = tenths ? 10 : 1;
  const ticks = Math.max(0, tenths ? Math.round(seconds * unit) : Math.floor(seconds + 1e-6));
  const rest = ticks % (60 * unit);
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(ticks / unit / 60);
  const head = minutes < 60 ? String(minutes) : `${Math.floor(minutes / 60)}:${two(minutes % 60)}`;
  return `${head}:${two(Math.floor(rest / unit))}${tenths ? `.${rest % unit}` : ""}`;
};
