/* The Market page: how its table writes our price against theirs. */
(function () {
  var functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  functions.asMarketShare = function (value) {
    if (value === null || value === undefined || value === "") { return "–"; }
    var percent = Math.round(Math.abs(value) * 100);
    return percent === 0 ? "the same" : (value < 0 ? "−" : "+") + percent.toLocaleString("en-US") + " %";
  };
})();
