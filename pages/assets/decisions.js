/* The form for a verdict shows what the choice needs. */
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.decisions = {
  choose: function (choice) {
    var hidden = { display: "none" }, shown = {};
    var words = { approve: "Approve", override: "Approve as edited", reject: "Reject" };
    return [choice === "override" ? shown : hidden, choice === "approve" ? hidden : shown, words[choice], choice === "reject" ? "red" : "harbour"];
  },
};
