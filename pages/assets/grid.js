/* Tables that ask for their rows: asked anew when a filter changes, refreshed while one looks. */
window.dash_clientside = window.dash_clientside || {};

(function () {
  function api(id) {
    try { return window.dash_ag_grid.getApi(id); } catch (error) { return null; }  // not drawn yet: it will ask by itself
  }
  var wasOpen = {};
  window.dash_clientside.grid = {
    /* The last argument is the grid's id, the ones before are the filters. */
    purge: function () {
      var grid = api(arguments[arguments.length - 1]);
      if (grid) { grid.ensureIndexVisible(0); grid.purgeInfiniteCache(); }
    },
    refresh: function (ticks, id) {
      var grid = ticks % 2 === 0 && api(id);
      if (grid) { grid.refreshInfiniteCache(); }
      return window.dash_clientside.no_update;
    },
    /* Both write by set_props: as outputs they would make a circle, which Dash works off slowly. */
    picked: function (rows) {
      var row = rows && rows[0];
      if (row && row.decision_id) { window.dash_clientside.set_props("decisions-id", { value: row.decision_id }); }
      if (row && row.picked_tenant) { window.dash_clientside.set_props("tenants-tenant", { value: row.picked_tenant }); }
      if (row && row.job_id) { window.dash_clientside.set_props("jobs-job", { value: row.job_id }); }
    },
    /* At once, before the server has answered; and no late answer can open what was closed. */
    opens: function (picked) { return Boolean(picked); },
    /* Only a drawer that was open can be closed: at first it is closed because nothing was picked yet. */
    closed: function (opened, pickedId, gridId) {
      var isClosing = wasOpen[pickedId] && !opened;
      wasOpen[pickedId] = opened;
      if (!isClosing) { return; }
      window.dash_clientside.set_props(pickedId, { value: "" });
      if (gridId && api(gridId)) { api(gridId).deselectAll(); }
    },
  };
})();
