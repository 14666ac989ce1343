"""Values of a config as code."""

from bls_mm.config.code import Code, assignment


def test_value_is_split_where_it_does_not_fit_a_line():
    value = dict(type='A', items=['x' * 30, 'y' * 30], other={'a-b': 1})
    assert (
        assignment('name', value)
        == f"""\
name = dict(
    type='A',
    items=['{'x' * 30}', '{'y' * 30}'],
    other={{'a-b': 1}},
)"""
    )
    assert eval(assignment('', value)[3:]) == value


def test_short_value_and_code_stand_as_they_are():
    value = [Code('*base.hooks'), dict(type='A')]
    assert assignment('x', value) == "x = [*base.hooks, dict(type='A')]"
