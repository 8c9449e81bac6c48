/* What table cells draw. */
(function () {
  var functions = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  var colors = {
    queued: "amber-4", running: "harbour-5", finished: "gray-5", failed: "red-6", left: "orange-5", waiting: "amber-4",
    approved: "blue-5", withdrawn: "gray-5", carrying_out: "blue-5", carried_out: "harbour-5", measured: "harbour-5", rejected: "gray-5", lapsed: "gray-5",
    refused: "orange-5", undoing: "blue-5", undone: "grape-5", undo_failed: "red-6", shadow: "indigo-4", noted: "gray-5",
  };
  functions.State = function (props) {
    var value = props.value;
    if (!value) { return ""; }
    var words = value.replace(/_/g, " ");
    return window.React.createElement("span", { className: "state-cell" },
      window.React.createElement("i", { style: { background: "var(--mantine-color-" + (colors[value] || "gray-5") + ")" } }),
      words.charAt(0).toUpperCase() + words.slice(1));
  };
  var judged = {
    helped: ["▲", "helped", "good"], harmed: ["▼", "harmed", "bad"], inconclusive: ["≈", "inconclusive", "dim"], unmeasured: ["–", "not measured", "dim"],
  };
  /* What came of it: the figure, how it is judged, and whether it is a success, each in words. */
  functions.Realised = function (props) {
    var row = props.data;
    if (!row || !row.execution_phase && !row.outcome_judgement && props.value === null) { return "–"; }
    var make = window.React.createElement, known = judged[row.outcome_judgement], was_done = row.execution_phase === "succeeded";
    var figure = window.dashAgGridFunctions.asSignedUsd(props.value);
    if (!known) { return figure; }
    var word = (was_done || known[2] === "dim" ? "" : "would have ") + known[1];
    var met = row.outcome_criterion_is_met;
    var success = !was_done || met === null || met === undefined ? "" : met ? ", success" : ", no success";
    return make("span", { className: "realised", title: row.outcome_criterion || "" },
      row.outcome_judgement === "unmeasured" ? "" : make("span", { className: "nowrap" }, figure),
      make("span", { className: "sub " + known[2] }, known[0] + " " + word + success));
  };
  /* An expected gain's interval, and what came of it, on one scale for the whole column. */
  functions.Gain = function (props) {
    var row = props.data;
    if (!row || row.expected_gain_usd_per_hour === undefined) { return ""; }
    var ends = [row.expected_gain_low_usd_per_hour, row.expected_gain_high_usd_per_hour, row.expected_gain_usd_per_hour, 0];
    var realised = row.realised_gain_usd_per_hour;
    if (realised !== null && realised !== undefined) { ends.push(realised); }
    var low = Math.min.apply(null, ends), high = Math.max.apply(null, ends), margin = (high - low || 1) * 0.06;
    function at(value) { return ((value - low + margin) / (high - low + 2 * margin)) * 100; }
    var make = window.React.createElement, left = at(ends[0]), right = at(ends[1]);
    var marks = [
      make("span", { key: "zero", className: "interval-zero", style: { left: at(0) + "%" } }),
      make("span", { key: "band", className: "interval-band", style: { left: left + "%", width: Math.max(right - left, 1) + "%" } }),
      make("span", { key: "mid", className: "interval-mid", style: { left: at(ends[2]) + "%" } }),
    ];
    if (realised !== null && realised !== undefined) {
      var tone = realised < ends[0] ? "is-under" : realised > ends[1] ? "is-over" : "is-kept";
      marks.push(make("span", { key: "dot", className: "interval-dot " + tone, style: { left: at(realised) + "%" } }));
    }
    return make("div", { className: "interval", style: { marginTop: 10 } }, marks);
  };
})();
