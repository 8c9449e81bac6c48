/* The frame: menu on narrow screens, colour scheme, and noticing that the console is silent. */
window.dash_clientside = window.dash_clientside || {};

(function () {
  var KEY = "mantine-color-scheme-value";
  var SILENT_AFTER_MS = 15000;

  window.dash_clientside.shell = {
    toggleMenu: function (opened) {
      var by = window.dash_clientside.callback_context.triggered_id;
      var isOpen = by === "shell-burger" && Boolean(opened);
      return [{ width: 196, breakpoint: "sm", collapsed: { mobile: !isOpen } }, isOpen];
    },
    setScheme: function () {
      var scheme = window.dash_clientside.callback_context.triggered_id.replace("shell-scheme-", "");
      window.localStorage.setItem(KEY, scheme);
      // Mantine follows the key when another tab changes it; say so to this tab as well.
      window.dispatchEvent(new StorageEvent("storage", { key: KEY, newValue: scheme, storageArea: window.localStorage }));
      return window.dash_clientside.no_update;
    },
  };

  /* Ticks stop while nobody looks, and start with one at once when somebody does. */
  document.addEventListener("visibilitychange", function () {
    if (window.dash_clientside.set_props) {
      window.dash_clientside.set_props("shell-tick", { disabled: document.hidden });
    }
  });

  var lastAnswer = Date.now();
  var fetched = window.fetch;
  window.fetch = function () {
    return fetched.apply(this, arguments).then(function (answer) {
      if (answer.status < 500) { lastAnswer = Date.now(); }
      // Signed out while the page was open: loading it again leads to the sign-in.
      if (answer.status === 401) { window.location.reload(); }
      return answer;
    });
  };
  window.setInterval(function () {
    if (document.hidden) { lastAnswer = Date.now(); }
    document.body.classList.toggle("is-silent", Date.now() - lastAnswer > SILENT_AFTER_MS);
  }, 1000);
})();
