"""AG Grid as this console wears it: colours of the theme, rows asked for a block at a time."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag

ROWS_PER_BLOCK = 100

_THEME = (
    "themeQuartz.withParams({"
    "backgroundColor: 'var(--panel)', foregroundColor: 'var(--ink)',"
    "headerBackgroundColor: 'var(--panel)', headerTextColor: 'var(--ink-dim)',"
    "borderColor: 'var(--line)', rowBorder: {color: 'var(--line-faint)'},"
    "wrapperBorder: false, wrapperBorderRadius: 0, headerColumnResizeHandleColor: 'transparent',"
    "rowHoverColor: 'var(--hover)', selectedRowBackgroundColor: 'var(--selected)',"
    "accentColor: 'var(--accent)', fontFamily: 'inherit', fontSize: 13, headerFontSize: 12,"
    "headerFontWeight: 500, rowHeight: 34, headerHeight: 34, cellHorizontalPadding: 12,"
    "columnBorder: false})"
)


def server_grid(name: str, columns: list[dict[str, Any]], **options: Any) -> dag.AgGrid:
    """A table whose rows come a block at a time; a callback answers `getRowsRequest`."""
    given = {
        "theme": {"function": _THEME},
        "cacheBlockSize": ROWS_PER_BLOCK,
        "maxBlocksInCache": 20,
        "maxConcurrentDatasourceRequests": 1,  # the grid has one slot for an answer
        "infiniteInitialRowCount": 1,
        "rowSelection": {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True},
        "animateRows": False,
        "suppressCellFocus": False,
        "suppressNoRowsOverlay": True,
    }
    return dag.AgGrid(
        id=name,
        columnDefs=columns,
        rowModelType="infinite",
        defaultColDef={
            "sortable": False,
            "resizable": True,
            "suppressHeaderMenuButton": True,
            "suppressMovable": True,
        },
        dashGridOptions=given | options.pop("dashGridOptions", {}),
        className="",
        style={"height": "100%", "width": "100%"},
        **options,
    )


def number_column(
    field: str, header: str, format_js: str, width: int, **more: Any
) -> dict[str, Any]:
    """A right-aligned column; `format_js` names a formatter of `assets/dashAgGridFunctions.js`."""
    return {
        "field": field,
        "headerName": header,
        "width": width,
        "type": "rightAligned",
        "valueFormatter": {"function": f"{format_js}(params.value)"},
    } | more


def text_column(field: str, header: str, width: int, **more: Any) -> dict[str, Any]:
    """A column of words."""
    return {"field": field, "headerName": header, "width": width} | more


def sorting(request: dict[str, Any], default: str) -> tuple[str, bool]:
    """The column a grid asks to sort by, and whether downwards."""
    asked = request.get("sortModel") or []
    return (asked[0]["colId"], asked[0]["sort"] == "desc") if asked else (default, True)
