"""The documents: links, pieces of Python, the notebook, the site."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import pytest
import yaml
from mmengine.registry import DATA_SAMPLERS, DATASETS, HOOKS
from pages import NOTEBOOK, PAGES, ROOT, blocks_of, named, tokens_of
from toy import ToyDataset, hook_of, make_runner

import bls_mm
from bls_mm import PRUNERS, SCORES
from bls_mm.runner.build import make_config
from bls_mm.zoo import load_config

PYTHON = [page for page in PAGES if blocks_of(page, 'python')]


def anchors_of(page):
    """The anchors of headings, as GitHub makes them."""
    tokens = list(tokens_of(page))
    titles = [
        ''.join(part.content for part in text.children)
        for heading, text in zip(tokens, tokens[1:])
        if heading.type == 'heading_open'
    ]
    return [
        re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')
        for title in titles
    ]


@pytest.mark.parametrize('page', named(PAGES))
def test_links_of_page_resolve(page):
    targets = {'link_open': 'href', 'image': 'src'}
    for token in tokens_of(page):
        if token.type not in targets:
            continue
        link = token.attrGet(targets[token.type])
        if re.match(r'https?:|mailto:', link):
            continue
        path, _, anchor = link.partition('#')
        file = (page.parent / path).resolve() if path else page
        assert file.exists() and ROOT in file.parents, link
        assert not anchor or anchor in anchors_of(file), link


# Pieces of Python: parts of configs, and modules


@contextmanager
def own_registries():
    """Forget in the end what was registered."""
    with ExitStack() as stack:
        for registry in (DATASETS, PRUNERS, SCORES):
            stack.enter_context(patch.dict(registry.module_dict))
        yield


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the files that the documents speak of, to work in."""
    for config in (ROOT / 'configs' / 'demo').glob('*.py'):
        (tmp_path / config.name).symlink_to(config)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    package = tmp_path / 'my_project'
    package.mkdir()
    rules = blocks_of(ROOT / 'docs' / 'extending.md', 'python')
    (package / 'hardest.py').write_text(rules[0])
    (package / 'last_loss.py').write_text(rules[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with own_registries():
        yield tmp_path
    for name in [n for n in sys.modules if n.startswith('my_project')]:
        del sys.modules[name]


def is_config(code):
    """Whether code only assigns, as a config file does."""
    return all(isinstance(line, ast.Assign) for line in ast.parse(code).body)


def check_config(code, folder):
    """Load a piece of a config and build what prunes."""
    if '_base_ =' not in code:  # it goes into a config that is there
        code = f"_base_ = 'resnet_mnist.py'\n{code}"
    file = folder / 'piece.py'
    file.write_text(code)
    cfg = load_config(file)
    types = [str(hook['type']).rpartition('.')[2] for hook in cfg.custom_hooks]
    assert 'BLSHook' in types
    for name, hook in zip(types, cfg.custom_hooks):
        if name.startswith('BLS'):
            HOOKS.build(hook)
    sampler = DATA_SAMPLERS.build(
        cfg.train_dataloader.sampler, default_args=dict(dataset=range(9))
    )
    assert isinstance(sampler, bls_mm.BLSSampler)


@pytest.mark.parametrize('page', named(PYTHON))
def test_python_of_page_works(page, project):
    for code in blocks_of(page, 'python'):
        if is_config(code):
            check_config(code, project)
        else:
            with own_registries():
                exec(code, {})


def test_own_configs_of_get_started_can_be_pruned(tmp_path):
    """Their first line names the file. One inherits from another."""
    blocks = blocks_of(ROOT / 'docs' / 'get_started.md', 'py')
    assert len(blocks) == 3
    for code in blocks:
        name = re.match(r'# (my_\w+\.py)\n', code)[1]
        (tmp_path / name).write_text(code)
        cfg = make_config(tmp_path / name, prune='infobatch')
        assert cfg.train_dataloader.sampler.type == 'bls_mm.BLSSampler'
        assert cfg.train_dataloader.dataset.data_root
        assert 'ann_file' in code or 'CustomDataset' in code


@pytest.mark.parametrize('target', [None, 0.2])
def test_rules_of_extending_prune_a_run(project, target):
    code = blocks_of(ROOT / 'docs' / 'extending.md', 'python')[2]
    settings = {}
    exec(code, settings)
    for name in settings['custom_imports']['imports']:
        importlib.import_module(name)
    sampler = settings['train_dataloader']['sampler']
    sampler['pruner']['target_saving'] = target
    runner = make_runner(
        project,
        custom_hooks=settings['custom_hooks'],
        train_dataloader__sampler=sampler,
    )
    runner.train()
    hook = hook_of(runner)
    assert type(hook.score).__name__ == 'LastLoss'
    # Of 8 passes 6 are pruned: by 0.3, or as the target asks for.
    saved = target or 0.3 * 6 / 8
    assert hook.visited == round((1 - saved) * hook.visited_unpruned)


def test_wrapper_of_extending_shares_scores(project):
    settings = {}
    exec(blocks_of(ROOT / 'docs' / 'extending.md', 'python')[3], settings)
    wrapper = dict(type='EveryOther', dataset=dict(type=ToyDataset, size=40))
    runner = make_runner(project, train_dataloader__dataset=wrapper)
    runner.train()
    assert len(hook_of(runner).scores) == 20


def test_notebook_has_run(project):
    cells = json.loads(NOTEBOOK.read_text())['cells']
    cells = [cell for cell in cells if cell['cell_type'] == 'code']
    counts = [cell['execution_count'] for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    for cell in cells:
        assert 'error' not in [out['output_type'] for out in cell['outputs']]
        code = ''.join(cell['source'])
        if code.startswith('%%writefile'):
            check_config(code.partition('\n')[2], project)
        else:
            code = re.sub(r'(\\\n|.)*', without_magic, code)
            compile(code, 'cell', 'exec')


def without_magic(line):
    """A line of a notebook, commands replaced by `pass`."""
    return re.sub(r'^( *)[!%](.|\n)*', r'\1pass', line[0])


# The site


def test_settings_page_has_all_rules_and_hooks():
    page = (ROOT / 'docs' / 'settings.md').read_text()
    rules = [*PRUNERS.module_dict.values(), *SCORES.module_dict.values()]
    names = [r.__name__ for r in rules if r.__module__.startswith('bls_mm.')]
    names += [n for n in bls_mm.__all__ if n.endswith(('Hook', 'Sampler'))]
    assert len(names) > 5
    for name in names:
        assert f'autoclass:: bls_mm.{name}\n' in page


RULES = [
    rule
    for registry in (PRUNERS, SCORES)
    for rule in registry.module_dict.values()
    if rule.__module__.startswith('bls_mm.')
]


@pytest.mark.parametrize('rule', RULES)
def test_method_card_has_the_settings_of_the_code(rule):
    cards = (ROOT / 'docs' / 'methods.md').read_text().split('\n## ')
    (card,) = [c for c in cards if c.startswith(f'{rule.__name__}\n')]
    told = dict(re.findall(r"(?m)^\| `(\w+)` \| `?([\w.']+)`? \|", card))
    assert set(told) == set(inspect.signature(rule).parameters)
    built = rule()
    for name, default in told.items():
        assert ast.literal_eval(default) == getattr(built, name), name


def test_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == bls_mm.__version__


def test_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q']
    command += ['-c', ROOT / 'docs', ROOT, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert not result.returncode, result.stderr
    for page in PAGES:
        html = page.relative_to(ROOT).with_suffix('.html')
        assert (tmp_path / html).is_file(), html
    assert 'docs/index.html' in (tmp_path / 'index.html').read_text()
    # Docstrings came out as pages.
    assert 'prune_ratio' in (tmp_path / 'docs' / 'settings.html').read_text()
