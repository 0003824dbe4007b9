"""Settings: from a file and the environment, validated whole, each fault a line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.config import Settings, load_settings
from stream.core.measures import Threshold
from stream.yamlfile import Faults


def write(folder: Path, text: str) -> Path:
    """A folder with this settings file."""
    (folder / "kpi-stream.yaml").write_text(text)
    return folder


def faults(folder: Path) -> list[str]:
    """The lines that loading these settings gives."""
    with pytest.raises(Faults) as refusal:
        load_settings(folder)
    return refusal.value.faults


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    """A first start needs no settings; gauges listen on loopback only."""
    settings = load_settings(tmp_path)
    assert settings.windows == ("15m", "1h", "8h", "today", "7d")
    assert settings.metrics.host == "127.0.0.1"
    assert settings.topics.dead_letters == "dead-letters"
    assert settings.delivery == "exactly_once"
    assert settings.thresholds().default == Threshold(20_000, 5_000)


def test_the_environment_wins_over_the_file_and_overrides_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested names are joined by two underscores; what they leave out stays the file's."""
    folder = write(tmp_path, "app: file\npartitions: 3\nmetrics: {host: 0.0.0.0, port: 1}\n")
    monkeypatch.setenv("KPI_STREAM_APP", "environment")
    monkeypatch.setenv("KPI_STREAM_METRICS__PORT", "9200")
    monkeypatch.setenv("KPI_STREAM_WINDOWS", "15m, 2h")
    settings = load_settings(folder)
    assert (settings.app, settings.partitions) == ("environment", 3)
    assert (settings.metrics.host, settings.metrics.port) == ("0.0.0.0", 9200)  # noqa: S104
    assert settings.windows == ("15m", "2h")
    assert load_settings(folder, app="override").app == "override"


def test_queues_have_their_own_thresholds_and_teams(tmp_path: Path) -> None:
    """What a queue leaves out is as for all; one that says what all have is no exception."""
    folder = write(
        tmp_path,
        "service_level: 30s\n"
        "queues: {vip: {service_level: 10s, team: red}, same: {service_level: 30s}, x: {}}\n",
    )
    settings = load_settings(folder)
    assert settings.thresholds().by_queue == {"vip": Threshold(10_000, 5_000)}
    assert settings.thresholds().default == Threshold(30_000, 5_000)
    assert settings.queue_teams() == {"vip": "red"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("windws: [1h]", "setting 'windws': no such setting"),
        ("metrics: {prt: 1}", "setting 'metrics.prt': no such setting"),
        ("windows: [1x]", "window '1x': expected 'today', or a length"),
        ("windows: [1h, 1h]", "setting 'windows': a window is named twice"),
        ("windows: []", "setting 'windows':"),
        ("timezone: Mars/Olympus", "'Mars/Olympus': not a time zone"),
        ("timezone: ../../etc/passwd", "not a time zone"),
        ("service_level: 20", "setting 'service_level': 20: expected a duration with its unit"),
        ("flush_interval: 1ms", "setting 'flush_interval': Input should be greater than"),
        ("broker: kafka://h:9092", "setting 'broker': expected host and port such as 'kafka:9092'"),
        ("broker: user:password@h:9092", "setting 'broker':"),
        ("topics: {kpis: alerts}", "setting 'topics': two topics have the same name"),
        ("topics: {kpis: 'a b'}", "setting 'topics.kpis': expected the name of a topic"),
        ("metrics: {show: {kpis: [csatt]}}", "'csatt': no such KPI; `kpi-stream kpis` lists them"),
        ("metrics: {show: {windows: [2h]}}", "names windows that are not kept: ['2h']"),
        ("security: {protocol: SASL_SSL}", "SASL_SSL needs a username and a password"),
        ("security: {protocol: SSL, cert_file: .}", "cert_file': Path does not point to a file"),
        ("[1, 2]", "not readable as settings"),
        ("app: a\napp: b", "'app' is written 2 times"),
        ("topics: {kpis: kpi-stream-rows-changelog}", "a topic has the name of one of ours"),
        ("topics: {kpis: ..}", "setting 'topics.kpis'"),
        ("skew: " + "9" * 400 + "d", "longer than a year"),
        ("security: {protocol: SSL, ca_file: /no/such}", "Path does not point to a file"),
        ("a: [", "not YAML: line 1, column 5: while parsing a flow node"),
        ("a: b\nc: [", "not YAML: line 2, column 5"),
        # Each of these escaped as another exception, without a place.
        ("app: 2024-13-45", "not YAML: line 1, column 6: what stands here is no timestamp"),
        ('app: !!int ""', "line 1, column 6: what stands here is no int"),
        ("app: !!bool foo", "line 1, column 6: what stands here is no bool"),
        ("app: !!timestamp foo", "line 1, column 6: what stands here is no timestamp"),
        ("app: 0b_", "line 1, column 6: what stands here is no int"),
        ("partitions: " + "9" * 5_000, "line 1, column 13: what stands here is no int"),
        ("1: 2", "setting 1: no such setting"),
        ("null: 1", "setting None: no such setting"),
        ('instance: "\\ud800"', "line 1, column 11: text with half of a surrogate pair"),
        ('queues: {"\\udfff": {}}', "line 1, column 10: text with half of a surrogate pair"),
        ("partitions: 0", "setting 'partitions': Input should be greater than or equal to 1"),
    ],
)
def test_a_fault_is_a_line_that_names_its_setting(tmp_path: Path, text: str, fault: str) -> None:
    """One readable line, no traceback, whatever is wrong."""
    (line,) = faults(write(tmp_path, text))
    assert fault in line
    assert "\n" not in line


def test_all_faults_are_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody mends one to be told of the next; misspelt variables are among them."""
    monkeypatch.setenv("KPI_STREAM_BROKR", "h:1")
    folder = write(tmp_path, "partitions: x\nskew: 1\nfoo: 1\nmetrics: {port: 70000}\n")
    found = faults(folder)
    assert [line.partition(":")[0] for line in found] == [
        "KPI_STREAM_BROKR",
        "setting 'partitions'",
        "setting 'skew'",
        "setting 'metrics.port'",
        "setting 'foo'",
    ]


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    """Neither when settings are printed nor in a fault beside it."""
    text = "security: {protocol: SASL_SSL, username: u, password: s3cret, sasl_mechanism: X}"
    assert "s3cret" not in "".join(faults(write(tmp_path, text)))
    settings = load_settings(write(tmp_path, text.replace(", sasl_mechanism: X", "")))
    assert "s3cret" not in repr(settings)
    assert settings.security.password is not None
    assert settings.security.password.get_secret_value() == "s3cret"


@pytest.mark.parametrize(
    "text",
    [
        "password: s3cret: [",
        "security: {password: s3cret",
        "password: 2024-13-45",
        # Without quotes these are an alias, tags and anchors, whose names PyYAML says.
        "password: *s3cret",
        "password: !s3cret",
        "password: !!s3cret",
        "password: !s!s3cret",
        "password: !s3'cret",
        "a: [&s3cret x, &s3cret y, *s3cret1]",
    ],
)
def test_a_broken_file_is_explained_without_its_text(tmp_path: Path, text: str) -> None:
    """PyYAML quotes the line at fault, and that may be the one with the password."""
    (line,) = faults(write(tmp_path, text))
    assert "not YAML: line 1" in line
    assert "s3" not in line
    assert "2024-13-45" not in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECURITY", "s3cret"),
        ("SECURITY", '{"password": "s3cret'),
        ("SECURITY", '{"password": ["s3cret"]}'),
        ("SECURITY", '{"protocol": "s3cret"}'),
        ("SECURITY__PASSWORD__X", "s3cret"),
        ("SECURITY__SASL_MECHANISM", "s3cret"),
        ("SECURITY_PASSWORD", "s3cret"),
        ("BROKER", "user:s3cret@h:9092"),
        ("METRICS", "s3cret"),
    ],
)
def test_a_wrong_variable_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Also where the password was put into the wrong one."""
    monkeypatch.setenv(f"KPI_STREAM_{name}", value)
    with pytest.raises(Faults) as refusal:
        load_settings()
    assert "s3cret" not in str(refusal.value)
    assert "s3cret" not in str(refusal.value.__cause__)


def test_a_variable_that_is_no_text_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not UTF-8 reach Python as half surrogates, which nothing could write."""
    monkeypatch.setenv("KPI_STREAM_INSTANCE", "worker-\udcff")
    with pytest.raises(Faults) as refusal:
        load_settings()
    assert refusal.value.faults == ["KPI_STREAM_INSTANCE: not UTF-8"]


def test_an_endless_value_is_cut_in_its_fault(tmp_path: Path) -> None:
    """Aliases let a small file hold a value whose text would fill the memory."""
    nested = "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    folder = write(tmp_path, f"skew:\n- &a0 [1]\n{nested}")
    (line,) = faults(folder)
    assert line.startswith("setting 'skew': ")
    assert "expected a duration" in line
    assert len(line) < 1_000


def test_settings_do_not_change() -> None:
    """What was validated stays so."""
    with pytest.raises(ValueError, match="frozen"):
        Settings().app = "other"  # type: ignore[misc]
