"""Tests of kpi-stream."""
