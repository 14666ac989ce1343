"""Files of a folder or an archive, without unpacking it."""

import lzma
import os
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Sequence, Tuple, Union

ARCHIVES = ('.zip', '.tar', '.tgz', '.tar.gz', '.tar.bz2', '.tar.xz')
HIDDEN = ('.', '__MACOSX')
# What reading a damaged archive raises; OSError is that of gzip and bz2.
DAMAGES = (
    EOFError,
    OSError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


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
        # An archive to which a file was added anew has its name twice.
        names = list(dict.fromkeys(self._list_all()))
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
                for file in _walk(self._root)
            ]
        with _naming(self._root):
            if self._root.suffix == '.zip':
                with zipfile.ZipFile(self._root) as archive:
                    files = archive.infolist()
                    return [f.filename for f in files if not f.is_dir()]
            with tarfile.open(self._root) as tar:
                names = [_clean(m.name) for m in tar if _is_file(m)]
                _check_end(tar)
                return names

    def read(self, names: Sequence[str]) -> Iterator[Tuple[str, bytes]]:
        """Read some of the files.

        Args:
            names (list[str]): From :meth:`list_names`.

        Yields:
            tuple[str, bytes]: Name and content, in the order of the archive.

        Raises:
            ValueError: If it is an archive that is damaged.
        """
        if self._root.is_dir():
            for name in names:
                yield name, (self._root / name).read_bytes()
            return
        wanted = {f'{self._prefix}{name}': name for name in names}
        with _naming(self._root):
            if self._root.suffix == '.zip':
                with zipfile.ZipFile(self._root) as archive:
                    for full, name in wanted.items():
                        yield name, archive.read(full)
                return
            with tarfile.open(self._root) as tar:
                for member in tar:  # once through: it may be compressed
                    if not _is_file(member):
                        continue
                    stream = tar.extractfile(member)
                    if stream is not None and _clean(member.name) in wanted:
                        yield wanted[_clean(member.name)], stream.read()


@contextmanager
def _naming(archive: Path) -> Iterator[None]:
    """Name the archive that is damaged."""
    try:
        yield
    except DAMAGES as error:
        raise ValueError(f'{archive} cannot be read: {error}') from None


def _walk(root: Path) -> Iterator[Path]:
    """All files below a folder, those of linked folders too."""
    for folder, folders, files in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        above = {real, *real.parents}  # a link to these would not end
        folders[:] = [
            name
            for name in folders
            if Path(folder, name).resolve() not in above
        ]
        for name in files:
            if Path(folder, name).is_file():  # no broken link
                yield Path(folder, name)


def _is_file(member: tarfile.TarInfo) -> bool:
    return member.isfile() or member.islnk()  # a further name of a file


def _check_end(tar: tarfile.TarFile) -> None:
    """Refuse an archive of which only the first members could be read.

    tarfile takes a damaged header for the end, and does not read as far as
    the checksum of what it decompresses.
    """
    stream: Any = tar.fileobj
    stream.seek(tar.offset)
    while True:
        rest = stream.read(2**20)
        if not rest:
            return
        if rest.count(0) < len(rest):
            raise tarfile.ReadError('a header is damaged')


def _clean(name: str) -> str:
    """A name as `tar c .` writes it, as others do."""
    return name[2:] if name.startswith('./') else name


def describe_source(path: Union[str, Path]) -> str:
    """What tells a source from another one, wherever it is.

    Args:
        path (str or Path): A folder, a file, or a folder in an archive.

    Returns:
        str: Its name and size.
    """
    path = Path(path)
    root = _existing(path)
    if not root.is_file():
        sizes = [file.stat().st_size for file in _walk(path)]
        return f'{path.name}, {sum(sizes)} bytes in {len(sizes)} files'
    name = path.relative_to(root.parent).as_posix()
    return f'{name}, {root.stat().st_size} bytes'


def _existing(path: Path) -> Path:
    """The part of a path that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
