"""Data sets as users have them, made into what the configs read.

``sources`` reads folders and archives, ``formats`` finds the images of a
classification set in them; ``classification``, ``detection`` and
``segmentation`` write one kind of data set each, all or a seeded subset of the
training images, ``output`` makes it appear in one piece, and ``options`` are
those of the command lines.
"""

from .classification import convert_classification
from .detection import convert_detection
from .segmentation import convert_segmentation

__all__ = [
    'convert_classification',
    'convert_detection',
    'convert_segmentation',
]
