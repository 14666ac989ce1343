"""Reports on the scores of a run, and scores against true losses."""

_OF_EXTRA = ('jinja2', 'matplotlib', 'PIL')

try:
    from .analyze import Report, analyze_scores
    from .snapshots import WorkDirError
except ModuleNotFoundError as error:
    if (error.name or '').partition('.')[0] not in _OF_EXTRA:
        raise
    raise ModuleNotFoundError(
        f'`bls_mm.analysis` needs {error.name}, which is not installed. '
        "Install the extra: pip install 'bls_mm[demo]'.",
        name=error.name,
    ) from error

__all__ = ['Report', 'WorkDirError', 'analyze_scores']
