/* How the Engine page's charts write their values. */
(function () {
  var functions = (window.dashMantineFunctions = window.dashMantineFunctions || {});
  function known(value) { return value !== null && value !== undefined && !Number.isNaN(value); }
  function fixed(value, digits) { return Number(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }); }
  functions.asSignedPercent = function (value) {
    return known(value) ? (value < 0 ? "−" : value > 0 ? "+" : "") + fixed(Math.abs(value) * 100, 1) + " %" : "–";
  };
  functions.asScore = function (value) { return known(value) ? fixed(value, 2) : "–"; };
})();
