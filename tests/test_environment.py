"""Variables that are meant for us and wrong as such."""

from __future__ import annotations

from stream.environment import faulty_variables, forget_variables

SETTINGS = {"app", "metrics"}


def test_every_fault_is_a_line_and_what_is_right_or_not_ours_is_none() -> None:
    """A misspelt name, and a value whose bytes are no text: Python gives half surrogates."""
    environment = {
        "KPI_STREAM_METRICS__PORT": "1",
        "KPI_STREAM_AP": "x",
        "KPI_STREAM_": "x",
        "kpi_stream_app": "Köln 🙂",
        "KPI_STREAM_APP": "worker-\udcff",
        "PATH": "\udcff",
    }
    assert list(faulty_variables(environment, SETTINGS)) == [
        "KPI_STREAM_: no such setting",
        "KPI_STREAM_AP: no such setting",
        "KPI_STREAM_APP: not UTF-8",
    ]


def test_only_ours_are_forgotten() -> None:
    """In whatever case they are written, as the settings take them."""
    environment = {"KPI_STREAM_BROKER": "h:1", "kpi_stream_app": "x", "KPI": "y", "PATH": "z"}
    forget_variables(environment)
    assert environment == {"KPI": "y", "PATH": "z"}
