/* A page's filters stand in its address, so that it can be sent to somebody.
   replaceState leaves Dash's router alone: the page is not drawn anew at every keystroke. */
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.address = {
  keep: function () {
    var inputs = window.dash_clientside.callback_context.inputs;
    var query = new URLSearchParams();
    Object.keys(inputs).forEach(function (key) {
      var name = key.split(".")[0].replace(/^[a-z]+-/, "");
      var value = inputs[key];
      if (Array.isArray(value)) { value = value.join(","); }
      if (value !== null && value !== undefined && value !== "") { query.set(name, value); }
    });
    var text = query.toString();
    window.history.replaceState(window.history.state, "", window.location.pathname + (text ? "?" + text : ""));
  },
};

/* A link to something on this very page opens it without drawing the page anew. */
document.addEventListener("click", function (event) {
  var link = event.target.closest && event.target.closest("a[href]");
  if (!link || link.origin !== window.location.origin || link.pathname !== window.location.pathname || !link.search) { return; }
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) { return; }
  var page = window.location.pathname.slice(1) || "overview";
  var wanted = Array.from(new URLSearchParams(link.search));
  if (!wanted.every(function (pair) { return document.getElementById(page + "-" + pair[0]); })) { return; }
  wanted.forEach(function (pair) { window.dash_clientside.set_props(page + "-" + pair[0], { value: pair[1] }); });
  event.preventDefault();
  event.stopPropagation();
}, true);
