// Light and dark: the system's, or what the reader chose.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

const recalled = () => {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // storage may be switched off
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
      // Then it lasts as long as the page.
    }
    changed();
  });
  system.addEventListener("change", changed);
};
