/* How charts write their values; None is a missing measurement. */
(function () {
  var functions = (window.dashMantineFunctions = window.dashMantineFunctions || {});
  function known(value) { return value !== null && value !== undefined && !Number.isNaN(value); }
  function number(value, digits) {
    return Number(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }
  functions.asCount = function (value) { return known(value) ? number(value, Math.abs(value) < 10 && value % 1 ? 1 : 0) : "–"; };
  functions.asPercent = function (value) { return known(value) ? number(value * 100, 0) + " %" : "–"; };
  functions.asWatts = function (value) { return known(value) ? number(value, 0) + " W" : "–"; };
  functions.asCelsius = function (value) { return known(value) ? number(value, 0) + " °C" : "–"; };
  functions.asUsd = function (value) {
    if (!known(value)) { return "–"; }
    var size = Math.abs(value), sign = value < 0 ? "−$" : "$";
    return size >= 1e6 ? sign + number(size / 1e6, 2) + " M" : size >= 1e4 ? sign + number(size / 1e3, 1) + " k" : sign + number(size, size < 100 && value % 1 ? 2 : 0);
  };
})();
