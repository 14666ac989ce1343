"""`bls_mm train` and `make-config`: options, errors, dry runs."""

import pytest
from mmengine.config import Config
from toy import make_config as toy_config

from bls_mm.commands import make_config, train


@pytest.fixture
def config(tmp_path):
    """A config without pruning, in a folder with a blank."""
    settings = toy_config(tmp_path / 'work', custom_hooks=[])
    settings['train_dataloader']['sampler'] = dict(type='DefaultSampler')
    folder = tmp_path / 'my configs'
    folder.mkdir()
    Config(settings).dump(folder / 'toy.py')
    return str(folder / 'toy.py')


def test_settings_of_a_pruner_need_a_pruner(capsys):
    with pytest.raises(SystemExit):
        train.parse_args(['config.py', '--prune-ratio', '0'])
    assert 'need `--prune`' in capsys.readouterr().err


def test_make_config_needs_a_place_to_write_to(capsys):
    with pytest.raises(SystemExit):
        make_config.parse_args(['config.py'])
    assert '`-o FILE` or `--dry-run` is needed' in capsys.readouterr().err


@pytest.mark.parametrize('command', [train, make_config])
@pytest.mark.parametrize(
    'options, message',
    [
        (['no.py'], 'There is no config file `no.py`'),
        (['mmnothing::x.py'], 'The package `mmnothing` is not installed'),
        (['{config}', '--prune=best'], "Unknown `prune` 'best'. Known: Imp"),
        (
            ['{config}', '--prune=seta', '--prune-ratio=2'],
            r'`prune_ratio` should be in \[0, 1\)',
        ),
        (
            ['{config}', '--prune=random', '--target-saving=0.8'],
            r'target_saving` should be at most 0\.787',
        ),
    ],
)
def test_error_is_one_line(command, config, options, message, tmp_path):
    words = [option.format(config=config) for option in options]
    with pytest.raises(SystemExit, match=f'^bls-mm x: error: .*{message}'):
        command.main([*words, '--dry-run'], 'bls-mm x')


@pytest.mark.parametrize('command', [train, make_config])
def test_dry_run_prints_config_and_plan_and_does_nothing(
    command, config, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob('*'))
    words = [config, '--prune=random', '--target-saving=0.25', '--dry-run']
    command.main(words)
    shown, _, plan = capsys.readouterr().out.partition('\n\n\n')
    cfg = Config.fromstring(shown, '.py')
    assert cfg.train_dataloader.sampler == dict(
        type='bls_mm.BLSSampler',
        pruner=dict(type='RandomPrune', target_saving=0.25),
    )
    assert 'saving       25.0% of the visits\n' in plan
    assert 'visits       240 instead of 320\n' in plan
    assert sorted(tmp_path.rglob('*')) == before


def test_dry_run_prints_on_the_first_rank_only(config, capsys, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    train.main([config, '--dry-run'])
    assert not capsys.readouterr().out


def test_written_config_is_the_one_that_a_dry_run_shows(config, capsys):
    output = config.replace('toy.py', 'pruned.py')
    make_config.main([config, '--prune', 'seta', '-o', output])
    said = capsys.readouterr().out
    assert said == (
        f'Wrote {output}. To train it: python -m bls_mm train {output!r}\n'
    )
    pruner = Config.fromfile(output).train_dataloader.sampler.pruner
    assert pruner == dict(type='SeTa')
