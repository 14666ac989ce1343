"""Files of a folder or an archive, without unpacking it."""

import tarfile
import zipfile
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple, Union

ARCHIVES = ('.zip', '.tar', '.tgz', '.tar.gz', '.tar.bz2', '.tar.xz')
HIDDEN = ('.', '__MACOSX')


class Source:
    """The files below a folder, in an archive, or below a folder of one.

    Args:
        path (str or Path): A folder, a zip or tar archive, or either with the
            path of a folder in it, as in ``train.zip/images``.

    Raises:
        FileNotFoundError: If there is no such folder or archive.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = Path(path)
        root = _existing(self.path)
        inside = self.path.relative_to(root).as_posix()
        is_archive = root.is_file() and root.name.endswith(ARCHIVES)
        if not is_archive and (inside != '.' or not root.is_dir()):
            raise FileNotFoundError(
                f'`{path}` is neither a folder nor an archive '
                f'({", ".join(ARCHIVES)}).'
            )
        self._root = root
        self._prefix = '' if inside == '.' else f'{inside}/'

    def list_names(self) -> List[str]:
        """Names of all files, relative to the path, in order.

        Hidden files are left out, and those of hidden folders.

        Raises:
            ValueError: If it is an archive that is damaged.
        """
        try:
            names = self._list_all()
        except (EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise ValueError(f'{self._root} cannot be read: {error}') from None
        start = len(self._prefix)
        names = [n[start:] for n in names if n.startswith(self._prefix)]
        return sorted(
            name
            for name in names
            if not any(p.startswith(HIDDEN) for p in name.split('/'))
        )

    def _list_all(self) -> List[str]:
        if self._root.is_dir():
            return [
                file.relative_to(self._root).as_posix()
                for file in self._root.rglob('*')
                if file.is_file()
            ]
        if self._root.suffix == '.zip':
            with zipfile.ZipFile(self._root) as archive:
                files = archive.infolist()
                return [file.filename for file in files if not file.is_dir()]
        with tarfile.open(self._root) as tar:
            return [_clean(m.name) for m in tar if m.isfile()]

    def read(self, names: Sequence[str]) -> Iterator[Tuple[str, bytes]]:
        """Read some of the files.

        Args:
            names (list[str]): From :meth:`list_names`.

        Yields:
            tuple[str, bytes]: Name and content, in the order of the archive.
        """
        if self._root.is_dir():
            for name in names:
                yield name, (self._root / name).read_bytes()
            return
        wanted = {f'{self._prefix}{name}': name for name in names}
        if self._root.suffix == '.zip':
            with zipfile.ZipFile(self._root) as archive:
                for full, name in wanted.items():
                    yield name, archive.read(full)
            return
        with tarfile.open(self._root) as tar:
            for member in tar:  # once through: it may be compressed
                stream = tar.extractfile(member)
                if stream is not None and _clean(member.name) in wanted:
                    yield wanted[_clean(member.name)], stream.read()


def _clean(name: str) -> str:
    """A name as `tar c .` writes it, as others do."""
    return name[2:] if name.startswith('./') else name


def describe_source(path: Union[str, Path]) -> str:
    """What tells a source from another one, wherever it is.

    Args:
        path (str or Path): A folder, a file, or a folder in an archive.

    Returns:
        str: Its name, and of a file the size.
    """
    path = Path(path)
    root = _existing(path)
    if not root.is_file():
        return path.name
    name = path.relative_to(root.parent).as_posix()
    return f'{name}, {root.stat().st_size} bytes'


def _existing(path: Path) -> Path:
    """The part of a path that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
