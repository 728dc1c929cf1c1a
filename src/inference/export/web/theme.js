// Light and dark mode: the system's setting, or the user's choice.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

const recalled = () => {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // storage can be disabled
  }
};

export const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

export const offer = (button, changed) => {
  const known = recalled();
  if (known === "light" || known === "dark") root.dataset.theme = known;
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // Without storage, the choice lasts until the page is closed.
    }
    changed();
  });
  system.addEventListener("change", changed);
};
