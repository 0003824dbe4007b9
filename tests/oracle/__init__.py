"""An independent judge: the KPI definitions again, in DuckDB SQL, over real and made-up events.

Nothing here imports the product, so an error would have to be made twice to stay hidden.
"""

from pathlib import Path


def data_dir() -> Path:
    """The folder with the real data sets, beside the repository (they may not be redistributed)."""
    return Path(__file__).resolve().parents[2].parent / "shared" / "data"
