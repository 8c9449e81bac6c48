/* How the Tenants table writes shares and growth, and what a picked row opens. */
(function () {
  var functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  function known(value) { return value !== null && value !== undefined && value !== ""; }
  functions.asTenantShare = function (value) {
    return known(value) ? (value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0) + " %" : "–";
  };
  functions.asTenantGrowth = function (value) {
    if (!known(value)) { return "–"; }
    var points = Math.round(value * 100);
    return (points < 0 ? "−" : points > 0 ? "+" : "") + Math.abs(points).toLocaleString("en-US") + " %";
  };
})();
