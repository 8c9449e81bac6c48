/* How table cells write their values. */
(function () {
  var functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  var missing = "–";
  function known(value) { return value !== null && value !== undefined && value !== ""; }
  function number(value, digits) {
    return Number(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }
  functions.asCount = function (value) { return known(value) ? number(value, 0) : missing; };
  functions.asUsd = function (value) {
    if (!known(value)) { return missing; }
    return (value < 0 ? "−$" : "$") + number(Math.abs(value), Math.abs(value) < 1000 ? 2 : 0);
  };
  functions.asSignedUsd = function (value) {
    return known(value) ? (value < 0 ? "−$" : "+$") + number(Math.abs(value), Math.abs(value) < 1000 ? 2 : 0) : missing;
  };
  functions.asDuration = function (seconds) {
    if (!known(seconds)) { return missing; }
    var whole = Math.round(seconds), minutes = Math.round(whole / 60);
    if (whole < 90) { return whole + " s"; }
    if (minutes < 90) { return minutes + " min"; }
    var hours = Math.floor(minutes / 60);
    if (hours < 48) { return hours + " h" + (minutes % 60 && hours < 10 ? " " + (minutes % 60) + " min" : ""); }
    return Math.floor(hours / 24) + " d" + (hours % 24 ? " " + (hours % 24) + " h" : "");
  };
  functions.asInstant = function (value) {
    if (!known(value)) { return missing; }
    var at = new Date(value);
    return at.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC" }).replace(",", "");
  };
  functions.asWords = function (value) {
    if (!known(value)) { return missing; }
    var words = String(value).replace(/_/g, " ");
    return words.charAt(0).toUpperCase() + words.slice(1);
  };
})();
