"""The module that mmaction2 1.2.0 imports and was published without."""


class DRN:
    """Only there to be imported."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError('mmaction2 was published without DRN.')
