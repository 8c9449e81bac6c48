/* The map of every GPU: a node is a button, a GPU a cell in it. Drawn here and not by Dash,
   because a thousand components would be slow to send and to compare; cells are kept and only
   recoloured when new readings come, so that focus and hover stay where they are. */
window.dash_clientside = window.dash_clientside || {};

(function () {
  var RAMPS = {
    utilisation: { dark: ["#1c3442", "#17616f", "#1a937f", "#74bd66", "#f0d452"], light: ["#dceaec", "#a3d4cf", "#52b3a2", "#15837a", "#0a4a56"] },
    temperature: { dark: ["#1e3a52", "#2e6c8c", "#b99b43", "#de7440", "#d9352f"], light: ["#d9e8f3", "#8fbfd9", "#e9cd7a", "#e58a4f", "#c22d28"] },
    power: { dark: ["#232a4a", "#47408a", "#8a4aa0", "#d2618a", "#f8b77a"], light: ["#e8e6f4", "#bdb4e0", "#9471bd", "#8a3f8c", "#57154d"] },
  };
  var SCALES = {
    utilisation: { low: 0, high: 1, lowText: "0 %", highText: "100 % used" },
    temperature: { low: 30, high: 90, lowText: "30 °C", highText: "90 °C" },
    power: { low: 0, high: 1, lowText: "0 %", highText: "100 % of the power cap" },
  };
  var STATES = [
    ["working", "Working", "var(--mantine-color-harbour-5)"], ["free", "Free", "var(--cell-none)"],
    ["cordoned", "Cordoned", "var(--mantine-color-amber-4)"], ["down", "Down", "var(--mantine-color-red-6)"],
    ["provisioning", "Provisioning", "var(--mantine-color-blue-5)"], ["off", "Off", "var(--cell-off)"],
  ];
  /* How a GPU is given out, where not whole: [name, short name for the key]. */
  var SHARING = { mig: ["Cut up by MIG", "cut up by MIG"], time_sliced: ["Time-sliced", "time-sliced"], mps: ["Shared by MPS", "shared by MPS"] };
  var cells = new Map();
  var shown = "";
  var latest = null;

  function scheme() { return document.documentElement.getAttribute("data-mantine-color-scheme") === "light" ? "light" : "dark"; }
  function hex(text) { return [1, 3, 5].map(function (i) { return parseInt(text.slice(i, i + 2), 16); }); }
  function ramp(stops, ratio) {
    var at = Math.max(0, Math.min(1, ratio)) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2), part = at - i;
    var a = hex(stops[i]), b = hex(stops[i + 1]);
    return "rgb(" + a.map(function (from, k) { return Math.round(from + (b[k] - from) * part); }).join(",") + ")";
  }
  function isHeld(gpu) { return Boolean(gpu && (gpu.job || (gpu.shared && gpu.shared[2] > 0))); }
  function many(number, noun) { return number + " " + noun + (number === 1 ? "" : "s"); }
  function sharedText(shared) {
    return SHARING[shared[0]][0] + ": " + (shared[0] === "mig" ? many(shared[1], "instance") + ", " : "") + many(shared[2], "holder");
  }
  function stateOf(node, gpu) {
    if (node.state !== "active") { return node.state; }
    return isHeld(gpu) ? "working" : "free";
  }
  function colorOf(node, gpu, measure) {
    if (measure === "state") {
      var state = stateOf(node, gpu);
      return STATES.filter(function (each) { return each[0] === state; }).map(function (each) { return each[2]; })[0];
    }
    if (node.state === "off" || node.state === "provisioning") { return "var(--cell-off)"; }
    var value = gpu && { utilisation: gpu.utilisation, temperature: gpu.temperature, power: gpu.cap ? gpu.power / gpu.cap : null }[measure];
    if (value === null || value === undefined) { return "var(--cell-unknown)"; }
    var scale = SCALES[measure];
    return ramp(RAMPS[measure][scheme()], (value - scale.low) / (scale.high - scale.low));
  }
  function known(value, unit, digits) { return value === null || value === undefined ? "not measured" : value.toFixed(digits || 0) + " " + unit; }
  function tipText(node, gpu) {
    var lines = ["<b>" + escape(node.id) + (gpu ? " · GPU " + gpu.slot : "") + "</b>", escape(node.kind || "") + ", " + escape(node.state)];
    if (node.ill) { lines.push("<span class='bad'>" + escape(node.ill.replace("Node " + node.id + ": ", "")) + "</span>"); }
    if (gpu) {
      lines.push("Utilisation " + known(gpu.utilisation === null ? null : gpu.utilisation * 100, "%"), "Temperature " + known(gpu.temperature, "°C"),
        "Power " + known(gpu.power, "W") + (gpu.cap ? " of " + gpu.cap.toFixed(0) + " W" : ""));
      if (gpu.shared) { lines.push(sharedText(gpu.shared)); }
      else { lines.push(gpu.job ? "Job " + escape(gpu.job) + ", " + escape(gpu.tenant || "") : "No job"); }
    }
    return lines.join("<br>");
  }
  function escape(text) { return String(text).replace(/[&<>"]/g, function (c) { return "&#" + c.charCodeAt(0) + ";"; }); }

  function nodesOf(data) {
    /* Columns on the wire, objects here. */
    var g = data.gpus, byNode = new Map();
    g.node.forEach(function (id, i) {
      if (!byNode.has(id)) { byNode.set(id, []); }
      byNode.get(id).push({ slot: g.slot[i], utilisation: g.utilisation[i], temperature: g.temperature[i], power: g.power[i], cap: g.cap[i], job: g.job[i] === null ? null : data.jobs[g.job[i]], tenant: g.tenant[i] === null ? null : data.tenants[g.tenant[i]], shared: (data.shared || {})[i] });
    });
    return data.nodes.map(function (row) { return { id: row[0], pool: row[1], kind: row[2], state: row[3], count: row[4], gpus: byNode.get(row[0]) || [], ill: (data.ill || {})[row[0]] }; });
  }
  function matches(node, search) {
    if (!search) { return true; }
    var wanted = search.toLowerCase();
    return node.id.toLowerCase().includes(wanted) || node.gpus.some(function (gpu) {
      return (gpu.job || "").toLowerCase().includes(wanted) || (gpu.tenant || "").toLowerCase().includes(wanted) || (gpu.shared ? gpu.shared[3] : "").toLowerCase().includes(wanted);
    });
  }

  function build(box, pools, models) {
    box.textContent = "";
    cells.clear();
    pools.forEach(function (nodes, pool) {
      var section = document.createElement("section"), head = document.createElement("div"), list = document.createElement("div");
      section.className = "map-pool"; head.className = "map-pool-head"; list.className = "map-nodes";
      var gpus = nodes.reduce(function (sum, node) { return sum + node.count; }, 0);
      head.innerHTML = "<b>" + escape(pool) + "</b><span class='sub'>" + escape(models[pool] || "") + " · " + nodes.length + " nodes · " + gpus + " GPUs</span>";
      nodes.forEach(function (node) {
        var button = document.createElement("button");
        button.type = "button"; button.className = "map-node"; button.dataset.node = node.id;
        var own = [];
        for (var i = 0; i < Math.max(node.count, 1); i += 1) { own.push(button.appendChild(document.createElement("i"))); own[i].dataset.index = i; }
        cells.set(node.id, { button: button, cells: own, node: node });
        list.appendChild(button);
      });
      section.append(head, list);
      box.appendChild(section);
    });
  }
  function paint(measure, picked) {
    cells.forEach(function (kept) {
      var node = kept.node, busy = node.gpus.filter(isHeld).length, cut = node.gpus.filter(function (gpu) { return gpu.shared; }).length;
      kept.button.dataset.state = node.state;
      kept.button.classList.toggle("is-picked", node.id === picked);
      kept.button.classList.toggle("is-ill", Boolean(node.ill));
      kept.button.setAttribute("aria-label", node.id + ", " + node.state + (node.ill ? ", suspect" : "") + ", " + busy + " of " + node.count + " GPUs working" + (cut ? ", " + cut + " of them cut up or shared" : ""));
      kept.cells.forEach(function (cell, i) {
        var color = colorOf(node, node.gpus[i], measure);
        cell.dataset.shared = node.gpus[i] && node.gpus[i].shared ? node.gpus[i].shared[0] : "";
        if (cell.dataset.color !== color) { cell.style.background = color; cell.dataset.color = color; }
      });
    });
  }
  function legend(measure, hasIll, kinds) {
    var box = document.getElementById("fleet-legend");
    if (!box) { return; }
    keys(box, measure);
    if (hasIll) { box.insertAdjacentHTML("beforeend", "<span class='map-key'><i class='map-ill'></i>suspect</span>"); }
    Object.keys(SHARING).filter(function (kind) { return kinds.has(kind); }).forEach(function (kind) {
      box.insertAdjacentHTML("beforeend", "<span class='map-key'><i data-shared='" + kind + "'></i>" + SHARING[kind][1] + "</span>");
    });
  }
  function kindsOf(nodes) {
    var kinds = new Set();
    nodes.forEach(function (node) { node.gpus.forEach(function (gpu) { if (gpu.shared) { kinds.add(gpu.shared[0]); } }); });
    return kinds;
  }
  function keys(box, measure) {
    if (measure === "state") {
      box.innerHTML = STATES.map(function (each) { return "<span class='map-key'><i style='background:" + each[2] + "'></i>" + each[1] + "</span>"; }).join("");
      return;
    }
    var scale = SCALES[measure];
    box.innerHTML = scale.lowText + "<span class='map-ramp' style='background:linear-gradient(90deg," + RAMPS[measure][scheme()].join(",") + ")'></span>" + scale.highText +
      "<span class='map-key'><i style='background:var(--cell-unknown)'></i>not measured</span><span class='map-key'><i style='background:var(--cell-off)'></i>off</span>" +
      "<span class='map-key'><i style='background:color-mix(in srgb,var(--bad) 36%,transparent)'></i>node down</span><span class='map-key'><i style='background:color-mix(in srgb,var(--warn) 36%,transparent)'></i>cordoned</span>";
  }
  function listen(box) {
    if (box.dataset.listens) { return; }
    box.dataset.listens = "yes";
    var tip = document.body.appendChild(document.createElement("div"));
    tip.className = "map-tip"; tip.setAttribute("role", "tooltip");
    box.addEventListener("click", function (event) {
      var button = event.target.closest(".map-node");
      if (button) { window.dash_clientside.set_props("fleet-node", { value: button.dataset.node }); }
    });
    box.addEventListener("mousemove", function (event) {
      var button = event.target.closest(".map-node"), kept = button && cells.get(button.dataset.node);
      if (!kept) { tip.style.display = "none"; return; }
      var index = event.target.dataset.index;
      tip.innerHTML = tipText(kept.node, index === undefined ? null : kept.node.gpus[Number(index)]);
      tip.style.display = "block";
      tip.style.left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8) + "px";
      tip.style.top = Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8) + "px";
    });
    box.addEventListener("mouseleave", function () { tip.style.display = "none"; });
    /* Arrow keys go from node to node; there may be hundreds, too many for Tab alone. */
    box.addEventListener("keydown", function (event) {
      var step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step || !event.target.classList.contains("map-node")) { return; }
      var all = Array.from(box.querySelectorAll(".map-node"));
      var next = all[all.indexOf(event.target) + step];
      if (next) { next.focus(); event.preventDefault(); }
    });
    new MutationObserver(function () { if (latest && document.getElementById("fleet-map")) { draw.apply(null, latest); } })
      .observe(document.documentElement, { attributes: true, attributeFilter: ["data-mantine-color-scheme"] });
  }
  function draw(data, measure, pool, search, picked) {
    var box = document.getElementById("fleet-map");
    if (!box || !data) { return; }
    latest = [data, measure, pool, search, picked];
    var nodes = nodesOf(data).filter(function (node) { return (!pool || node.pool === pool) && matches(node, search); });
    var pools = new Map();
    nodes.forEach(function (node) { pools.set(node.pool, (pools.get(node.pool) || []).concat([node])); });
    var now = nodes.map(function (node) { return node.id + ":" + node.count; }).join("|");
    if (now !== shown || !box.firstChild) { build(box, pools, data.models); shown = now; }
    nodes.forEach(function (node) { cells.get(node.id).node = node; });
    box.style.setProperty("--cell", nodes.length > 400 ? "8px" : nodes.length > 160 ? "11px" : "14px");
    if (!nodes.length) { box.innerHTML = "<div class='empty'><div class='empty-title'>No node fits</div>Change the pool or what is searched for.</div>"; shown = ""; }
    paint(measure, picked);
    legend(measure, nodes.some(function (node) { return node.ill; }), kindsOf(nodes));
    listen(box);
  }
  window.dash_clientside.fleet = {
    draw: function (data, measure, pool, search, picked) {
      draw(data, measure || "utilisation", pool, search, picked);
      return window.dash_clientside.no_update;
    },
  };
})();
