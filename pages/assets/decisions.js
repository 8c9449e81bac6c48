/* The form for a verdict shows what the choice needs. */
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.decisions = {
  show: function (tab) { return "stack tab-" + tab; },
  /* A row of the ledger can be picked again once the drawer is closed. */
  release: function (opened, id) {
    try { if (!opened) { window.dash_ag_grid.getApi(id).deselectAll(); } } catch (error) { return; }  // not drawn yet
  },
  choose: function (choice) {
    var hidden = { display: "none" }, shown = {};
    var words = { approve: "Approve", override: "Approve as edited", edit_anew: "Approve my own edit", reject: "Reject" };
    return [choice === "override" || choice === "edit_anew" ? shown : hidden, choice === "approve" ? hidden : shown, words[choice], choice === "reject" ? "red" : "harbour"];
  },
};
