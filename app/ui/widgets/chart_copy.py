"""What a chart shows, to take along: its values as CSV."""

import csv
import io
import math

from app.models import formats
from app.ui.widgets.chart_data import Table

#: A cell that begins like this would be a formula in a spreadsheet, and names come from the broker.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(table: Table) -> str:
    """A line for each bucket: when it begins (ISO 8601, UTC), and the value of each series; empty where unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time", *(f"'{name}" if name.startswith(_FORMULA) else name for name in table.names)])
    for bucket in range(table.values.shape[1]):
        values = ["" if math.isnan(value) else f"{value:g}" for value in table.values[:, bucket].tolist()]
        writer.writerow([formats.iso_utc(table.start + bucket * table.step), *values])
    return text.getvalue()
