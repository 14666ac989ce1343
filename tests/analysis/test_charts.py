"""Charts as parts of a page."""

import re

import numpy as np

from bls_mm.analysis import charts
from bls_mm.analysis.report import shown_classes


def test_charts_of_many_classes_show_both_ends():
    rows = [dict(value=i) for i in range(100)]
    shown = shown_classes(rows, lambda row: row['value'])
    assert [row['value'] for row in shown] == [*range(15), *range(85, 100)]
    assert shown_classes(rows[:30], lambda r: 0) == rows[:30]


def test_chart_takes_the_colours_and_the_size_of_the_page():
    svg = charts.histogram_chart(np.geomspace(1e-3, 1, 99), None)
    assert 'currentColor' in svg and '#010203' not in svg
    root = svg[: svg.index('>')]
    assert 'viewBox' in root and ' width=' not in root
    assert re.search(r'<rect [^>]*width=', svg)  # the clip path keeps its own
