"""Panels over time, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, table, timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.boards import promql
from deploy.grafana.boards.names import EMPTY, TITLES, explained, unit_of
from deploy.grafana.boards.panels import BLUE, COLOURS, GREY, SOURCE, fixed, now, over_time
from deploy.grafana.boards.promql import WEEK_AGO, Where
from stream.core.kpis import Kpi

_DASHED: Final = {"fill": "dash", "dash": [8, 8]}
_LINES: Final = (BLUE, "orange", "purple")
_WORDS: Final = ("no data", "met", "unproven", "missed")
_WORD_COLOURS: Final = (GREY, *(COLOURS[word] for word in _WORDS[1:]))


class Chart(NamedTuple):
    """A chart of the pipeline; `lines` are questions by their legend."""

    title: str
    unit: str
    description: str
    lines: dict[str, str]

    def panel(self) -> timeseries.Panel:
        """As it is drawn."""
        made = chart(self.title, self.description, self.unit)
        for ref, (legend, expression) in zip("ABCD", self.lines.items(), strict=False):
            made.with_target(over_time(expression, ref, legend))
        return made


def chart(title: str, description: str, unit: str) -> timeseries.Panel:
    """Lines over time. A gap is a time at which nothing was counted; it is not bridged."""
    legend = common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)
    legend.display_mode(options.LegendDisplayMode.LIST).calcs([])
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    tooltip.sort(options.SortOrder.NONE)
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .legend(legend)
        .tooltip(tooltip)
        .line_width(2)
        .show_points(options.VisibilityMode.NEVER)
        .span_nulls(False)
        .no_value(EMPTY)
    )


def trend(kpi: Kpi, lines: Mapping[str, Where]) -> timeseries.Panel:
    """A KPI of several scopes: the first also a week ago, with its target and its samples."""
    unit, decimals = unit_of(kpi)
    title = f"{TITLES[kpi.name]}, $window"
    panel = chart(title, f"{explained(kpi)} Dashed: a week ago. Bars: what it rests on.", unit)
    panel.decimals(decimals)
    for (name, where), colour in zip(lines.items(), _LINES, strict=False):
        ref = where.kind
        panel.with_target(over_time(promql.curve(kpi.metric, where), ref, name))
        panel.override_by_query(ref, [fixed(colour)])
    name, own = next(iter(lines.items()))
    panel.with_target(
        over_time(promql.curve(kpi.metric, own, offset=WEEK_AGO), "week_ago", f"{name}, a week ago")
    )
    dashed = model.DynamicConfigValue("custom.lineStyle", _DASHED)
    panel.override_by_query("week_ago", [fixed(BLUE), dashed])
    for bound, word in (("min", "at least"), ("max", "at most")):
        panel.with_target(over_time(promql.target(kpi, own, bound), word.replace(" ", "_"), word))
        panel.override_by_query(word.replace(" ", "_"), [fixed("green")])
    samples = promql.curve(promql.SAMPLES, own, f'kpi="{kpi.name}",')
    panel.with_target(over_time(samples, "samples", "samples"))
    return panel.override_by_query("samples", _bars())


def _bars() -> list[model.DynamicConfigValue]:
    """Pale bars with an axis of their own."""
    return [
        fixed(GREY),
        model.DynamicConfigValue("unit", "none"),
        model.DynamicConfigValue("decimals", 0),
        model.DynamicConfigValue("custom.drawStyle", "bars"),
        model.DynamicConfigValue("custom.fillOpacity", 30),
        model.DynamicConfigValue("custom.lineWidth", 0),
        model.DynamicConfigValue("custom.axisPlacement", "right"),
    ]


def listing(title: str, kpis: Sequence[Kpi], where: Where, *, at_site: bool = False) -> table.Panel:
    """One row per scope: each KPI with its samples and the worst verdict of its goals."""
    panel = table.Panel().title(title).datasource(SOURCE).no_value("–")
    panel.description(
        "Each figure, what it rests on, and the verdict of the goals on it. – means that nothing "
        "was counted in this window; it is never 0."
    )
    renamed: dict[str, str] = {"id": where.kind}
    for kpi in kpis:
        for ref, (name, expression) in _columns(kpi, where).items():
            asked = promql.in_site(expression) if at_site else expression
            panel.with_target(now(asked, ref).format(PromQueryFormat.TABLE))
            renamed[f"Value #{ref}"] = name
        unit, decimals = unit_of(kpi)
        written = {"unit": unit, "decimals": decimals}
        properties = [model.DynamicConfigValue(name, value) for name, value in written.items()]
        panel.override_by_name(TITLES[kpi.name], properties)
    panel.override_by_regexp(".*: goal", _verdict_cells())
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    order = {
        "excludeByName": {"Time": True, "scope": True, "window": True},
        "indexByName": {name: place for place, name in enumerate(renamed)},
        "renameByName": renamed,
    }
    return panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=order))


def _columns(kpi: Kpi, where: Where) -> dict[str, tuple[str, str]]:
    """Heading and question of each column of a KPI; a count is its own samples."""
    title, of_kpi = TITLES[kpi.name], f'kpi="{kpi.name}",'
    columns = {kpi.name: (title, promql.gauge(kpi.metric, where))}
    if kpi.shape != "count":
        samples = promql.gauge(promql.SAMPLES, where, of_kpi)
        columns[f"{kpi.name}_n"] = (f"{title}: n", samples)
    state = promql.gauge("kpi_goal_state", where, of_kpi)
    return {**columns, f"{kpi.name}_goal": (f"{title}: goal", state)}


def _verdict_cells() -> list[model.DynamicConfigValue]:
    """Words on the colours of the verdicts in place of the numbers of `kpi_goal_state`."""
    words = {
        str(code): {"text": word, "color": colour, "index": code}
        for code, (word, colour) in enumerate(zip(_WORDS, _WORD_COLOURS, strict=True))
    }
    return [
        model.DynamicConfigValue("mappings", [{"type": "value", "options": words}]),
        model.DynamicConfigValue("custom.cellOptions", {"type": "color-background"}),
    ]
