"""Writes the shift in today's format beside this module, unless it is there."""

from __future__ import annotations

import json

from tests.kafka.stored.shift import FOLDER, written


def main() -> None:
    """Never overwrites: what a version has stored stays stored."""
    shift = written()
    with (FOLDER / f"format-{shift['format']}.json").open("x") as file:
        json.dump(shift, file, indent=1, ensure_ascii=False)
        file.write("\n")


main()
