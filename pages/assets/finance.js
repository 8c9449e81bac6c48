/* The Finance page: how its table writes GPU-hours and shares. */
(function () {
  var functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  function known(value) { return value !== null && value !== undefined && value !== ""; }
  functions.asFinanceHours = function (value) {
    if (!known(value)) { return "–"; }
    var digits = Math.abs(value) < 100 ? 2 : 0;
    return Number(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  };
  functions.asFinanceShare = function (value) {
    return known(value) ? (value < 0 ? "−" : "") + Math.abs(value * 100).toFixed(0) + " %" : "–";
  };
})();
