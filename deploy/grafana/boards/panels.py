"""The kinds of panels that the boards are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.boards import promql
from deploy.grafana.boards.names import EMPTY, TITLES, explained, unit_of
from deploy.grafana.boards.promql import Where
from stream.core.kpis import Kpi

SOURCE: Final = options.DataSourceRef(type_val="prometheus", uid="prometheus")
GREY, BLUE = "#4a4f57", "#3b6ea5"
COLOURS: Final = {
    "met": "green",
    "near": "yellow",
    "unproven": "purple",
    "missed": "red",
    "free": BLUE,
}
# Not by colour alone: one man in twelve does not see red from green.
MARKS: Final = {"met": "✓", "near": "~", "unproven": "?", "missed": "✗", "free": ""}
LEGEND: Final = (
    "✓ green: met. ~ yellow: met, but close. ✗ red: missed. ? purple: missed, but chance or too "
    "few contacts explain it. Blue: no goal on this window, or no verdict yet."
)
SEVERITIES: Final = {"critical": "red", "warning": "orange", "info": BLUE}


class Text(NamedTuple):
    """Sizes in pixels of a name and of the value beside or under it."""

    title: int
    value: int


# At 1920 × 1080 on 55 inches a font of 54 px has capitals of 24 mm: 16 minutes of arc at five
# metres, which ISO 9241-303 asks for. Those of 34 px are twice what a healthy eye resolves.
FAR: Final = Text(54, 110)
FAR_LIST: Final = Text(34, 54)
DESK: Final = Text(18, 36)


def agents_page(name: str) -> dashboard.DashboardLink:
    """Where a click on an agent leads; `name` is what Grafana calls the agent there."""
    url = f"/d/kpi-stream-agent?var-agent={name}&${{window:queryparam}}"
    return dashboard.DashboardLink("Agent's page").url(url)


def now(expression: str, ref: str, legend: str = "__auto") -> prometheus.Dataquery:
    """A question about this moment."""
    query = prometheus.Dataquery().datasource(SOURCE).expr(expression).ref_id(ref)
    return query.legend_format(legend).format(PromQueryFormat.TIME_SERIES).instant()


def over_time(expression: str, ref: str, legend: str) -> prometheus.Dataquery:
    """A question about the dashboard's span of time."""
    query = prometheus.Dataquery().datasource(SOURCE).expr(expression).ref_id(ref)
    return query.legend_format(legend).format(PromQueryFormat.TIME_SERIES).range()


def fixed(colour: str) -> model.DynamicConfigValue:
    """One colour, whatever the value."""
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def last() -> common.ReduceDataOptions:
    """The one value of an instant query."""
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def sized(text: Text) -> common.VizTextDisplayOptions:
    """Texts of these sizes."""
    return common.VizTextDisplayOptions().title_size(text.title).value_size(text.value)


def figure(title: str, text: Text) -> stat.Panel:
    """Numbers with their names."""
    return (
        stat.Panel()
        .title(title)
        .datasource(SOURCE)
        .reduce_options(last())
        .text(sized(text))
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME)
        .graph_mode(options.BigValueGraphMode.NONE)
        .justify_mode(options.BigValueJustifyMode.CENTER)
        .color_mode(options.BigValueColorMode.BACKGROUND_SOLID)
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(GREY))
        .no_value(EMPTY)
    )


def tile(kpi: Kpi, where: Where, text: Text = DESK) -> stat.Panel:
    """One KPI of one scope in the colour of its goal's verdict."""
    unit, decimals = unit_of(kpi)
    panel = figure(TITLES[kpi.name], text).unit(unit).decimals(decimals)
    panel.description(f"{explained(kpi)} {LEGEND}")
    for verdict, expression in promql.judged(kpi, where).items():
        name = f"{MARKS[verdict]} {TITLES[kpi.name]} ({{{{n}}}})".strip()
        panel.with_target(now(expression, verdict, name))
        panel.override_by_query(verdict, [fixed(COLOURS[verdict])])
    return panel


def beside(kpi: Kpi, where: Where, text: Text = DESK) -> stat.Panel:
    """What a tile's figure is to be compared with: its target, and the same time last week."""
    unit, decimals = unit_of(kpi)
    panel = figure(f"{TITLES[kpi.name]}: target, and a week ago", text)
    panel.unit(unit).decimals(decimals).color_mode(options.BigValueColorMode.NONE)
    panel.orientation(options.VizOrientation.VERTICAL).no_value("no goal, no history")
    panel.description(
        "The goal's target on this window, and the figure at this time a week ago with what it "
        "rested on. Empty: there is no goal, or Prometheus has not kept the week."
    )
    panel.with_target(now(promql.target(kpi, where, "min"), "least", "at least"))
    panel.with_target(now(promql.target(kpi, where, "max"), "most", "at most"))
    ago = promql.value(kpi, where, promql.WEEK_AGO)
    return panel.with_target(now(ago, "week_ago", "a week ago ({{n}})"))


def ranking(title: str, kpi: Kpi, where: Where, text: Text) -> bargauge.Panel:
    """All scopes of a kind by one KPI, the best first, each in the colour of its verdict.

    Under their names in the roster, where they are there.
    """
    unit, decimals = unit_of(kpi)
    panel = bargauge.Panel().title(title).datasource(SOURCE).unit(unit).decimals(decimals)
    panel.reduce_options(last()).text(sized(text)).no_value(EMPTY)
    panel.orientation(options.VizOrientation.HORIZONTAL)
    panel.display_mode(options.BarGaugeDisplayMode.BASIC)
    panel.value_mode(options.BarGaugeValueMode.TEXT).show_unfilled(False)
    panel.name_placement(options.BarGaugeNamePlacement.LEFT)
    if kpi.unit == "ratio":
        panel.max(1)
    panel.min(0).data_links([agents_page("${__field.labels.id}")])
    panel.description(f"{explained(kpi)} {LEGEND} Within a colour the best come first.")
    order = "sort" if kpi.direction == "down" else "sort_desc"
    queries = promql.judged(kpi, where)
    for verdict in ("met", "near", "free", "unproven", "missed"):
        name = f"{MARKS[verdict]} {{{{name}}}} ({{{{n}}}})".strip()
        asked = promql.named(queries[verdict], f"{kpi.metric}{{{where.labels}}}")
        panel.with_target(now(f"{order}({asked})", verdict, name))
        panel.override_by_query(verdict, [fixed(COLOURS[verdict])])
    return panel


def alerts(title: str, selections: Sequence[str], text: Text) -> stat.Panel:
    """What fires and since how long; the selections' labels say whose alerts."""
    panel = figure(title, text).unit("dthms").no_value("nothing fires")
    panel.orientation(options.VizOrientation.HORIZONTAL)
    panel.description(
        "Who misses which goal, and for how long the alert has been firing. Red: critical, "
        "orange: warning, blue: info."
    )
    for severity, colour in SEVERITIES.items():
        expression = promql.firing_for_s(severity, *selections)
        panel.with_target(now(expression, severity, "{{name}}: {{goal}}"))
        panel.override_by_query(severity, [fixed(colour)])
    return panel


def health(
    title: str, expression: str, unit: str, limits: Mapping[float, str], description: str
) -> stat.Panel:
    """One number about the worker itself; `limits` are colours by the value they begin at."""
    steps = [model.Threshold(value=None, color="green")]
    steps += [model.Threshold(value=at, color=colour) for at, colour in limits.items()]
    panel = figure(title, DESK).unit(unit).decimals(0).description(description)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.color_mode(options.BigValueColorMode.VALUE).no_value("no worker answers")
    panel.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    return panel.text_mode(options.BigValueTextMode.VALUE).with_target(now(expression, "value"))
