"""The tool that runs the core tests on many versions: what it reads off."""

import pytest

from tools.dev.test_matrix import FOLDERS, ROOT, ROWS, counts_in, make_table


@pytest.mark.parametrize(
    'line, counts',
    [
        ('5 passed in 0.12s', dict(passed=5)),
        (
            '== 4 failed, 19 passed, 7 skipped, 11 errors in 9.2s (0:01) ==',
            dict(failed=4, passed=19, skipped=7, error=11),
        ),
        ('3 workers [2051 items]', {}),
        ('SKIPPED [13] tests/a.py:1: 2 passed in vain', {}),
        ('', {}),
    ],
)
def test_counts_are_those_of_the_last_line(line, counts):
    assert counts_in(line) == counts


def test_rows_name_files_that_exist():
    for row in ROWS:
        assert row.pins is None or (ROOT / row.pins).is_file()
    for folder in FOLDERS.split():
        assert [*(ROOT / 'tests' / folder).glob('test_*.py')]


def test_table_has_a_line_for_each_result():
    lines = make_table([['2.0.1', *'1234567'], ['2.1.2', *'1234567']])
    head, _, *rows = lines.strip().splitlines()[2:]
    assert [row.count('|') for row in rows] == [head.count('|')] * 2
    assert rows[0].startswith('| 2.0.1 | 1 |')
