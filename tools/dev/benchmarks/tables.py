"""Tables of what was measured, in Markdown."""

from pathlib import Path


def readable(seconds):
    """Three digits and a unit."""
    for unit, factor in (('µs', 1e6), ('ms', 1e3)):
        if seconds * factor < 999.5:
            return f'{seconds * factor:.3g} {unit}'
    return f'{seconds:.3g} s'


# Heading, key of a row, format. Columns without any value are left out.
COLUMNS = {
    'hook': [
        ('run', 'run', '{}'),
        ('batch', 'batch', '{}'),
        ('without µs', 'plain_us', '{:.1f}'),
        ('with µs', 'hooked_us', '{:.1f}'),
        ('hook µs', 'added_us', '{:.1f}'),
        ('hook CPU µs', 'added_cpu_us', '{:.1f}'),
        ('with / without', 'ratio', '{:.3f}'),
        ('launches', 'added_launches', '{:.1f}'),
        ('copies', 'added_copies', '{:.1f}'),
        ('syncs', 'added_syncs', '{:.1f}'),
    ],
    'update': [
        ('batch', 'batch', '{}'),
        ('EMAScore µs', 'ema_us', '{:.1f}'),
        ('many at once', 'ema_at_once_us', '{:.2f}'),
        ('MARTScore µs', 'mart_us', '{:.1f}'),
        ('many at once', 'mart_at_once_us', '{:.2f}'),
        ('one line µs', 'one_line_us', '{:.1f}'),
        ('reference µs', 'plain_us', '{:.1f}'),
        ('reference / EMAScore at once', 'ratio', '{:.1f}'),
    ],
    'select': [
        ('pruner', 'pruner', '{}'),
        ('N', 'size', '{:,}'),
        ('kept', 'kept', '{:.1%}'),
        ('select', 'select_s', readable),
        ('reference', 'reference_s', readable),
        ('ratio', 'ratio', '{:.1f}'),
        ('start', 'start_s', readable),
        ('reference', 'reference_start_s', readable),
        ('ratio', 'start_ratio', '{:.1f}'),
        ('unpruned', 'unpruned_start_s', readable),
        ('setup', 'setup_s', readable),
    ],
    'select: memory': [
        ('pruner', 'pruner', '{}'),
        ('N', 'size', '{:,}'),
        ('device: select peak', 'device_select_peak', '{:.1f}'),
        ('start peak', 'device_start_peak', '{:.1f}'),
        ('steady', 'device_steady', '{:.1f}'),
        ('host: select peak', 'host_select_peak', '{:.1f}'),
        ('start peak', 'host_start_peak', '{:.1f}'),
        ('steady', 'host_steady', '{:.1f}'),
        ('process GiB', 'process_gib', '{:.2f}'),
    ],
    'seams': [
        ('workers', 'workers', '{}'),
        ('unpruned ms', 'plain_ms', '{:.2f}'),
        ('pruned ms', 'pruned_ms', '{:.2f}'),
        ('pruned / unpruned', 'ratio', '{:.3f}'),
    ],
    'merge': [
        ('N', 'size', '{:,}'),
        ('merge', 'merge_s', readable),
        ('reference', 'reference_s', readable),
        ('ratio', 'ratio', '{:.2f}'),
        ('bytes per sample', 'bytes_per_sample', '{:.1f}'),
    ],
    'end-to-end': [
        ('config', 'config', '{}'),
        ('pruner', 'pruner', '{}'),
        ('visits saved', 'visits_saved', '{:.1%}'),
        ('full wall s', 'train_full_s', '{:.1f}'),
        ('wall saved', 'train_saved', '{:.1%}'),
        ('efficiency', 'train_efficiency', '{:.3f}'),
        ('full CPU s', 'cpu_full_s', '{:.1f}'),
        ('CPU saved', 'cpu_saved', '{:.1%}'),
        ('efficiency', 'cpu_efficiency', '{:.3f}'),
    ],
}


def make_tables(section, rows):
    """The tables of a section, in Markdown, by title."""
    titles = [title for title in COLUMNS if title.split(':')[0] == section]
    return {title: make_table(COLUMNS[title], rows) for title in titles}


def make_table(columns, rows):
    columns = [
        column
        for column in columns
        if any(row.get(column[1]) is not None for row in rows)
    ]
    lines = [[heading for heading, _, _ in columns]]
    is_text = [isinstance(rows[0].get(key), str) for _, key, _ in columns]
    lines.append(['---' if text else '---:' for text in is_text])
    for row in rows:
        lines.append([show(row.get(key), form) for _, key, form in columns])
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def show(value, form):
    """Write a number, or a median and half the width of the middle half."""
    if value is None:
        return 'skipped'
    write = form if callable(form) else form.format
    if not isinstance(value, dict):
        return write(value)
    text = write(value['median'])
    if value['runs'] == 1 or not value['median']:
        return text
    spread = (value['high'] - value['low']) / 2 / abs(value['median'])
    return f'{text} ±{spread:.0%}'


def put_into(file, title, text):
    """Replace what stands between two comments of a Markdown file.

    Raises:
        ValueError: If the comments are not there.
    """
    start, end = f'<!-- {title} -->\n', f'<!-- end of {title} -->'
    old = Path(file).read_text()
    if start not in old or end not in old:
        raise ValueError(f'{file} has no place {start.strip()} ... {end}.')
    before, rest = old.split(start, 1)
    after = rest.split(end, 1)[1]
    Path(file).write_text(f'{before}{start}\n{text}\n\n{end}{after}')
