"""Every question of every board, asked of a Prometheus that scrapes worker and notifier at work."""

from __future__ import annotations

import itertools
import re
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self

import pytest
import yaml

from deploy.grafana.boards.panels import SEVERITIES
from deploy.grafana.boards.promql import RECORDED, SAMPLES, recorded
from stream.adapters import timed
from stream.core.events import Interaction
from stream.core.kpis import CATALOGUE, Kpi, kpis_of
from stream.synth import TEAMS, agents, traffic
from tests.deploy import exporter, queries
from tests.deploy.exporter import DEPLOY
from tests.deploy.prometheus import PROGRAMS, Prometheus, program
from tests.deploy.queries import RULES, Query
from tests.fetched import why_unavailable
from tests.kafka.live import Sent, WorkerProcess, send, wait_until, written_settings
from tests.kafka_broker.broker import KafkaBroker
from tests.notify.receivers import Webhook
from tests.notify.servers import NotifierProcess
from tests.ports import free_port

WEEK_S: Final = 7 * 86_400
HOUR_MS: Final = 3_600_000
SEED: Final = 7
SITE: Final = "north"
# Who is in the roster; nobody else is.
NAMED: Final = agents(SEED)[0][0]
NAME: Final = "Kestrel"
# No quicker: it is also how long a busy machine has to answer, or its series end until the next.
SCRAPE_S: Final = 3
SCRAPES_MAX: Final = 5
KINDS: Final = ("agent", "team", "queue", "site")
# What the goals on each window come to, whatever the figures are; and on which side they lie.
STATES: Final = {
    "15m": ("met", ">="),
    "1h": ("near", "<="),
    "4h": ("missed", ">="),
    "8h": ("unproven", "<="),
    "7d": ("free", ""),
}
_BOUNDS: Final = {
    "ratio": ("0%", "100%"),
    "seconds": ("0s", "99h"),
    "contacts": ("0", "1000000"),
    "surveys": ("0", "1000000"),
    "nps": ("-100", "100"),
    "csat_mean": ("1", "5"),
    "ces": ("1", "7"),
}


def goal(kpi: Kpi, kind: str, window: str, severity: str) -> dict[str, Any]:
    """A goal that comes to its window's state: its bounds are the KPI's own limits."""
    state, side = STATES[window]
    low, high = _BOUNDS.get(kpi.name) or _BOUNDS[kpi.unit]
    easy, hard = (low, high) if side == ">=" else (high, low)
    return {
        "name": f"{kind}-{kpi.name}-{window}",
        "purpose": "To have a state that is known beforehand.",
        "kpi": kpi.name,
        "scope": kind,
        "window": window,
        "severity": severity,
        "target": f"{side} {easy if state in {'met', 'near'} else hard}",
        **({"warn": f"{side} {hard}"} if state == "near" else {}),
        "min_samples": 1_000_000 if state == "unproven" else 1,
    }


def goals() -> dict[str, Any]:
    """One for every KPI, scope and window but the last."""
    severities = itertools.cycle(SEVERITIES)
    return {
        "goals": [
            goal(kpi, kind, window, next(severities))
            for kind in KINDS
            for window in list(STATES)[:-1]
            for kpi in kpis_of(kind)
        ]
    }


class Load:
    """Traffic of the last hour first, then more of it without end."""

    def __init__(self, kafka: KafkaBroker, topics: dict[str, str]) -> None:
        self._kafka = kafka
        self._topics = topics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Self:
        now_ms = time.time_ns() // 1_000_000
        self._send(SEED, now_ms - HOUR_MS, now_ms)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _go_on(self) -> None:
        for seed in itertools.count(SEED + 1):
            now_ms = time.time_ns() // 1_000_000
            self._send(seed, now_ms - 300_000, now_ms)
            if self._stop.wait(1.0):
                break

    def _send(self, seed: int, from_ms: int, to_ms: int) -> None:
        """Synthetic events, whose names hold the seed, and a record that is none.

        Somebody gives up in each queue: where nobody did, chance would decide a goal's state.
        """
        records = [Sent(self._topics["interactions"], b"{", b"nobody")]
        for event in map(timed, (*traffic(seed, from_ms, to_ms), *given_up(to_ms - 60_000))):
            topic = self._topics["interactions" if event.kind == "interaction" else "surveys"]
            raw = event.raw.replace(b'"event_id":"', f'"event_id":"{seed}-'.encode())
            records.append(Sent(topic, raw, event.key.encode()))
        send(self._kafka.bootstrap, records)


def given_up(at_ms: int) -> Iterator[Interaction]:
    """One caller of each queue who waited for a minute and left."""
    for team in TEAMS:
        yield Interaction(
            event_id=f"gone-{team}",
            interaction_id=f"gone-{team}",
            ended_at=at_ms,
            outcome="abandoned",
            site_id=SITE,
            queue=team,
            wait_ms=60_000,
        )


class Scraped(NamedTuple):
    """A Prometheus that has scraped a worker and a notifier, and what these last showed."""

    prometheus: Prometheus
    metrics: str
    notifier: str


@pytest.fixture(scope="module")
def scraped(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """The shipped rules, a week that was kept, a worker under load, and a notifier."""
    if reason := why_unavailable(program, *PROGRAMS):
        pytest.skip(reason)
    windows = list(STATES)
    settings = written_settings(
        kafka.bootstrap,
        f"walls-{secrets.token_hex(4)}-",
        partitions=2,
        windows=windows,
        queues={team: {"team": team} for team in TEAMS},
        metrics={"show": {"windows": windows}},
    )
    folder = tmp_path_factory.mktemp("walls")
    (folder / "notify").mkdir()
    (folder / "notify" / "roster.yaml").write_text(f"agents: {{{NAMED}: {{name: {NAME}}}}}\n")
    with (
        Webhook() as lead,
        WorkerProcess(folder, settings, goals()) as worker,
        NotifierProcess(folder / "notify", settings | told(lead)) as notifier,
        Prometheus(configuration(worker.port, notifier.port), dict(rule_files())) as prometheus,
    ):
        worker.wait_ready(2)
        with Load(kafka, settings["topics"]):
            wait_until(lambda: shows_everything(worker.metrics()), 60, "every KPI and alert")
            prometheus.backfill(a_week_ago(worker.metrics()))
            prometheus.start()
            wait_until(lambda: has_told(notifier.metrics()), 60, "one is told, the other is not")
            behind = f'{recorded("kpi_csat_ratio")}{{scope="site"}}'
            kept = "count_over_time(kpi_stream_time_seconds[1m]) > 5"
            failed = "kpi_stream_notify_failures_total > 0"
            for expression in (behind, kept, failed):
                wait_until(lambda e=expression: bool(prometheus.query(e)), 60, expression)  # type: ignore[misc]
            yield Scraped(prometheus, worker.metrics(), notifier.metrics())


def told(lead: Webhook) -> dict[str, Any]:
    """A lead who is told directly, and an Alertmanager that is not there."""
    direct = {"leads": {"*": [f"json://127.0.0.1:{lead.port}/"]}, "group_wait": "100ms"}
    away = f"http://127.0.0.1:{free_port()}"
    return {"notify": {"alertmanagers": [away], "resend": "2s", "keep": "1m", "direct": direct}}


def has_told(text: str) -> bool:
    """Whether the one was told, and the other could not be."""
    taken = re.search(r'notify_messages_total{receiver="\*"} [1-9]', text)
    return bool(taken and re.search(r"notify_failures_total{.*} [1-9]", text))


def configuration(worker: int, notifier: int) -> dict[str, Any]:
    """The shipped configuration, but quicker, and with these ports in place of names."""
    config = dict(yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text()))
    config["global"] = {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": "1s"}
    del config["alerting"]
    ports = {"kpi-stream": worker, "kpi-stream-notify": notifier}
    assert ports.keys() == {job["job_name"] for job in config["scrape_configs"]}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
    return config


def rule_files() -> Iterator[tuple[str, str]]:
    """The shipped rules, of which those that run once a minute run each second."""
    for file in RULES:
        yield file.name, file.read_text().replace("interval: 1m", "interval: 1s")


def shows_everything(text: str) -> bool:
    """Whether a worker shows every KPI of a site over every window, and alerts of agents."""
    site = f'scope="site",id="{SITE}"'
    gauges = [
        f'{kpi.metric}{{{site},team="",window="{w}"}}' for kpi in kpis_of("site") for w in STATES
    ]
    fired = 'severity="info",scope="agent"'
    return all(gauge in text for gauge in gauges) and fired in text


def a_week_ago(text: str) -> str:
    """What the worker shows now, as if it had been so around this time a week ago."""
    now_s = time.time()
    names = {kpi.metric for kpi in CATALOGUE.values()} | {SAMPLES}
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.split("{")[0] in names]
    samples: dict[str, list[tuple[str, str]]] = {}
    for series, value in lines:
        metric, _, labels = series.partition("{")
        samples.setdefault(metric, []).append((labels, value))
        if any(f'scope="{kind}"' in labels for kind in RECORDED):
            samples.setdefault(recorded(metric), []).append((labels, value))
    return (
        "".join(
            f"# TYPE {metric} gauge\n"
            + "".join(
                f"{metric}{{{labels} {value} {now_s - WEEK_S + minutes * 60}\n"
                for labels, value in found
                for minutes in range(-2, 9, 2)
            )
            for metric, found in samples.items()
        )
        + "# EOF\n"
    )


def assignments() -> Iterator[dict[str, str]]:
    """What a viewer may choose: every window, team and queue, and an agent of each team."""
    staff = agents(SEED)
    for window, team in itertools.product(STATES, TEAMS):
        agent = next(name for name, of_team in staff if of_team == team)
        yield {"window": window, "team": team, "queue": team, "agent": agent, "site": SITE}


def has_data(prometheus: Prometheus, query: Query) -> bool:
    """Whether some choice of the variables finds something."""
    asked = {query.filled(**chosen): None for chosen in assignments()}
    return any(prometheus.query(expression) for expression in asked)


@pytest.fixture(autouse=True)
def answered(scraped: Scraped) -> None:
    """Each test asks after a good scrape; one that comes too late ends series until the next."""
    both = "count(up == 1) == 2"
    wait_until(lambda: bool(scraped.prometheus.query(both)), 60, both)


# ---------------------------------------------------------------- what is there


@pytest.mark.timeout(400)
def test_every_query_of_every_board_finds_data(scraped: Scraped) -> None:
    """Also those of each colour, of both sides of a target, of each severity, and of last week."""
    empty = queries.queries()
    for _ in range(SCRAPES_MAX):
        empty = [query for query in empty if not has_data(scraped.prometheus, query)]
        if not empty:
            break
        time.sleep(SCRAPE_S)
    assert [query[:3] for query in empty] == []


def test_every_variable_has_something_to_choose(scraped: Scraped) -> None:
    """Sites, teams, queues, agents and windows are those of the traffic."""
    agent, team = agents(SEED)[0]
    expected = {"queue": set(TEAMS), "window": set(STATES), "site": {SITE}}
    for name, board in queries.dashboards().items():
        for variable in board.get("templating", {}).get("list", []):
            series, label = queries.choice(variable)
            site = ".*" if variable["name"] == "team" else SITE
            asked = queries.fill(series, site=site, agent=agent)
            found = set(scraped.prometheus.values(label, asked))
            assert found, (name, variable["name"])
            if "agent" not in series:
                assert found == expected[variable["name"]], name
            if variable["name"] == "team":
                assert found == ({team} if name == "agent" else set(TEAMS))


def test_what_the_boards_and_rules_ask_for_is_shown(scraped: Scraped) -> None:
    """Metrics and labels, as a worker and a notifier on Kafka name them."""
    shown = exporter.labels_by_metric(scraped.metrics) | exporter.labels_by_metric(scraped.notifier)
    target = {"job", "instance"}
    asked = [query.filled() for query in queries.queries()]
    asked += [*queries.rules("record").values(), *queries.rules("alert").values()]
    for expression in asked:
        for metric, labels in queries.used(expression):
            if ":" not in metric and metric != "up":
                assert labels <= shown[metric] | target, expression


# ---------------------------------------------------------------- what it says


@pytest.mark.parametrize("kind", ["team", "queue", "site"])
def test_tiles_have_the_colour_of_their_goal(scraped: Scraped, kind: str) -> None:
    """Each KPI on each window is in the one colour that its goal comes to."""
    board = {"team": "wall", "queue": "queue", "site": "site"}[kind]
    tiles = [q for q in queries.queries() if q.board == board and q.ref in dict(STATES.values())]
    tiles = [q for q in tiles if f'scope="{kind}"' in q.expression]
    assert tiles
    for query, (window, (state, _)) in itertools.product(tiles, STATES.items()):
        chosen = {"window": window, "team": TEAMS[1], "queue": TEAMS[1], "site": SITE}
        found = scraped.prometheus.query(query.filled(**chosen))
        assert len(found) == int(query.ref == state), (query.panel, window, query.ref)


def test_a_figure_has_its_samples_and_last_weeks_beside_it(scraped: Scraped) -> None:
    """The worker's own numbers: the `n` in a tile's name, and the figure that was kept."""
    wanted = {("Satisfied", "met"), ("Satisfied: target, and a week ago", "week_ago")}
    now, ago = (
        query.filled(team=TEAMS[0], window="15m")
        for query in queries.queries()
        if query.board == "wall" and (query.panel, query.ref) in wanted
    )

    def samples(expression: str) -> int:
        (series,) = scraped.prometheus.query(expression)
        assert 0 < float(series["value"][1]) <= 1
        return int(series["metric"]["n"])

    place = f'scope="team",id="{TEAMS[0]}",team="{TEAMS[0]}",window="15m",kpi="csat"'
    (line,) = [n for n in scraped.metrics.splitlines() if n.startswith(f"{SAMPLES}{{{place}}}")]
    shown = int(line.rsplit(" ", 1)[1])
    assert 0 < samples(ago) <= shown
    wait_until(lambda: samples(now) >= shown, 30, "the next scrape, with more under load")


def test_agents_are_ranked_within_their_colour(scraped: Scraped) -> None:
    """All ten of a team, the best first, by name where there is one; unjudged, in one colour."""
    ranked = [q for q in queries.queries() if q.board == "wall" and q.panel.startswith("Agents of")]
    found = {q.ref: scraped.prometheus.query(q.filled(team=TEAMS[0], window="7d")) for q in ranked}
    assert {ref for ref, series in found.items() if series} == {"free"}
    values = [float(series["value"][1]) for series in found["free"]]
    assert len(values) == len(agents(SEED)) // len(TEAMS)
    assert values == sorted(values, reverse=True)
    names = {series["metric"]["id"]: series["metric"]["name"] for series in found["free"]}
    assert names == {id_: NAME if id_ == NAMED else id_ for id_ in names}
    assert NAMED in names


def test_the_pipeline_says_which_receiver_is_told(scraped: Scraped) -> None:
    """The Alertmanager that is not there is out of reach; the lead took messages."""
    asked = {(q.panel, q.ref): q.filled() for q in queries.queries() if q.board == "pipeline"}
    (count,) = scraped.prometheus.query(asked["Receivers out of reach", "value"])
    assert count["value"][1] == "1"
    taken = scraped.prometheus.query(asked["Since a message was taken", "A"])
    assert [series["metric"]["receiver"] for series in taken] == ["*"]
    ahead = scraped.prometheus.query(asked["Alerts that fire, and who does not know yet", "A"])
    assert float(ahead[0]["value"][1]) > 0


def test_the_shipped_rules_are_evaluated(scraped: Scraped) -> None:
    """No rule is in error, and while a worker is in order none of our own alerts fires."""
    found = scraped.prometheus.rules()
    assert {rule["name"] for rule in found} == queries.rules("record").keys() | queries.rules(
        "alert"
    ).keys()
    assert [rule["name"] for rule in found if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in found if rule.get("state") == "firing"] == []
