"""What all boards have in common: head, variables, links, and their JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.boards.panels import SOURCE

TAG: Final = "kpi-stream"
EVERYWHERE: Final = ".*"
_LABEL_VALUES: Final = 1  # the kind of question, as Grafana's editor numbers them
# By name: what it is called, and the series and label that it lists.
_VARIABLES: Final = {
    "site": ("Site", 'kpi_samples{scope="site"}', "id"),
    "team": ("Team", 'kpi_agent_info{site=~"$site"}', "team"),
    "queue": ("Queue", 'kpi_samples{scope="queue"}', "id"),
    "agent": ("Agent", "kpi_agent_info", "id"),
    "agents_name": ("Name", 'kpi_stream_roster_info{agent="$agent"}', "name"),
    "agents_team": ("Team", 'kpi_agent_info{id="$agent"}', "team"),
    "agents_site": ("Site", 'kpi_agent_info{id="$agent"}', "site"),
    "window": ("Window", "kpi_samples", "window"),
}


def variable(name: str, value: str | None = None, *, anywhere: bool = False) -> Any:
    """A choice at the top of a board. `anywhere` also offers all of them at once.

    An agent's name, team and site follow from the agent.
    """
    label, series, listed = _VARIABLES[name]
    name = name.removeprefix("agents_")
    asked = f"label_values({series}, {listed})"
    made = dashboard.QueryVariable(name).label(label).datasource(SOURCE).multi(False)
    reference = "PrometheusVariableQueryEditor-VariableQuery"
    made.query({"qryType": _LABEL_VALUES, "query": asked, "refId": reference})
    made.definition(asked).refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(model.VariableSort.NATURAL_ASC).include_all(anywhere)
    if anywhere:
        made.all_value(EVERYWHERE)
        made.current(model.VariableOption(selected=True, text="All", value="$__all"))
    elif value is not None:
        made.current(model.VariableOption(selected=True, text=value, value=value))
    return made


def board(name: str, title: str, description: str, variables: Iterable[Any]) -> dashboard.Dashboard:
    """An empty board that is looked at, and not edited: the next start would undo that."""
    made = (
        dashboard.Dashboard(title)
        .uid(f"kpi-stream-{name}")
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Boards")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
    )
    for choice in variables:
        made.with_variable(choice)
    return made


def as_json(made: dashboard.Dashboard) -> str:
    """The file that Grafana reads. Panels are numbered, so that links to them last."""
    built = made.build()
    panels = built.panels or []
    within = [panel for row in panels if isinstance(row, model.RowPanel) for panel in row.panels]
    for number, panel in enumerate([*panels, *within], start=1):
        panel.id_val = number
    return JSONEncoder(indent=2, ensure_ascii=False).encode(built) + "\n"
