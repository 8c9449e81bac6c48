/* The SQL page: Ctrl+Enter, the question in the address, and one's own last questions. */
window.dash_clientside = window.dash_clientside || {};

(function () {
  var ADDRESS_MOST = 6000;   // characters; longer ones are not shared by address
  var HISTORY_MOST = 30;
  var functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  var charts = (window.dashMantineFunctions = window.dashMantineFunctions || {});

  function figure(value) {
    if (value === null || value === undefined || value === "") { return "–"; }
    if (typeof value !== "number") { return String(value); }
    if (Number.isInteger(value)) { return value.toLocaleString("en-US"); }
    var size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e15)) { return value.toExponential(3); }
    return value.toLocaleString("en-US", { maximumSignificantDigits: size >= 1000 ? 9 : 6 });
  }
  functions.asFigure = figure;
  charts.asFigure = figure;

  function set(id, props) { window.dash_clientside.set_props(id, props); }
  function editor() { return document.querySelector("textarea#sql-q"); }
  function key() {
    var box = document.getElementById("sql-history");
    return "pilothouse-sql-" + (box ? box.getAttribute("data-user") : "");
  }
  function kept() {
    try { return JSON.parse(window.localStorage.getItem(key()) || "[]"); } catch (error) { return []; }
  }
  function keep(list) {
    try { window.localStorage.setItem(key(), JSON.stringify(list.slice(0, HISTORY_MOST))); } catch (error) { /* full, or not allowed */ }
  }
  function address(change) {
    var query = new URLSearchParams(window.location.search);
    change(query);
    var text = query.toString();
    window.history.replaceState(window.history.state, "", window.location.pathname + (text ? "?" + text : ""));
  }

  window.dash_clientside.sql = {
    asked: function (id, sql) {
      if (!id || !sql || !sql.trim()) { return; }
      address(function (query) {
        if (encodeURIComponent(sql).length <= ADDRESS_MOST) { query.set("q", sql); } else { query.delete("q"); }
      });
      keep([{ sql: sql, at: Date.now() }].concat(kept().filter(function (each) { return each.sql !== sql; })));
      list();
    },
    viewed: function (view) {
      address(function (query) { if (view === "plot") { query.set("view", view); } else { query.delete("view"); } });
      return view || "table";
    },
  };

  function button(text, title, act) {
    var made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.title = title;
    made.addEventListener("click", act);
    return made;
  }
  function list() {
    var box = document.getElementById("sql-past");
    if (!box) { return; }
    box.replaceChildren();
    var all = kept();
    if (!all.length) { box.textContent = "None yet. They are kept in this browser alone."; return; }
    all.forEach(function (each) {
      var line = each.sql.replace(/\s+/g, " ").slice(0, 160);
      var made = button(line, each.sql.slice(0, 2000), function () { set("sql-q", { value: each.sql }); close(); });
      made.setAttribute("role", "listitem");
      box.appendChild(made);
    });
    var forget = button("Forget them", "", function () { keep([]); list(); });
    forget.className = "sql-forget";
    box.appendChild(forget);
  }
  function close() {
    var box = document.getElementById("sql-history");
    if (box) { box.open = false; }
  }

  document.addEventListener("toggle", function (event) {
    if (event.target.id === "sql-history" && event.target.open) { list(); }
  }, true);

  document.addEventListener("keydown", function (event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.target !== editor()) { return; }
    event.preventDefault();
    var run = document.getElementById("sql-run");
    // The editor's last keystroke must be with Dash before the button is pressed.
    window.setTimeout(function () { if (run) { run.click(); } }, 0);
  });

  document.addEventListener("click", function (event) {
    if (!event.target.closest) { return; }
    var history = document.getElementById("sql-history");
    if (history && history.open && !history.contains(event.target)) { close(); }
    var table = event.target.closest("[data-table]");
    if (table) { set("sql-table", { data: table.getAttribute("data-table") }); return; }
    var replaced = event.target.closest("[data-replace]");
    if (replaced) { set("sql-q", { value: replaced.getAttribute("data-replace") }); return; }
    var inserted = event.target.closest("[data-insert]");
    var text = editor();
    if (!inserted || !text) { return; }
    var start = text.selectionStart, end = text.selectionEnd, name = inserted.getAttribute("data-insert");
    set("sql-q", { value: text.value.slice(0, start) + name + text.value.slice(end) });
    window.setTimeout(function () { text.focus(); text.setSelectionRange(start + name.length, start + name.length); }, 60);
  });
})();
