/* Sets the colour scheme before anything is drawn. Mantine keeps the choice under this key. */
(function () {
  var kept = null;
  try { kept = window.localStorage.getItem("mantine-color-scheme-value"); } catch (error) { /* no storage: as the system */ }
  var dark = kept === "dark" || (kept !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
