"""Published sets that are kept as files: where they are looked for, how they are downloaded, how a part is read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...errors import DataError, DataNotFoundError
from .. import formats, places
from ..task import as_part


@dataclass(frozen=True, eq=False, kw_only=True)
class Published:
    """A set with a folder of its own. `contents`: what that folder must hold, in words.

    package: another way to get it. call: what downloads it, in words; "" where nothing does. size: of the download.
    system: a copy packaged by the operating system.
    """

    title: str
    folder: str
    call: str = ""
    size: str = ""
    system: str | None = None
    package: str = ""
    contents = ""

    def present(self, folder):
        """Tell whether a folder holds any file of the set."""
        raise NotImplementedError

    def fetch(self, root):
        """Download the set into `root`/`folder`, and check it."""
        raise NotImplementedError

    def find(self, root=None, download=True):
        """Return the folder that holds the set's files, downloading them first when that is allowed and needed."""
        candidates = places.places(self.folder, self.system, root)
        for folder, _ in candidates:
            if self.present(folder):
                return folder
        failure = "downloading was not allowed (download=False)" if self.call else "nothing downloads it"
        if download and self.call:
            try:
                return self._download(places.own_folder() if root is None else Path(root))
            except (
                OSError,
                RuntimeError,
                DataError,
            ) as error:  # no network, permission or space; wrong contents
                failure = " ".join(f"the download failed: {error}".split())
        raise DataNotFoundError(self._not_found(candidates, failure))

    def _download(self, root):
        print(f"Downloading {self.title} ({self.size}) to {root} ...", flush=True)
        with places.download_into(root, self.folder) as temporary:
            with places.network_timeout():
                self.fetch(temporary)
            self.check(temporary / self.folder)
        return root / self.folder

    def check(self, folder):
        """Raise DataError where a download is not what was published."""

    def _not_found(self, candidates, failure):
        looked = "\n".join(f"  {folder} ({what})" for folder, what in candidates)
        ways = [self.package] if self.package else []
        if self.call:
            ways.insert(0, f"with a network: {self.call} fetches {self.size}")
        before = "without: " if self.call else ""
        ways.insert(1, f"{before}copy {self.contents} to FOLDER/{self.folder} and set DUALAD_DATA=FOLDER")
        ways.append("or use fashion_mnist_sample or digits, which need no download")
        ways = "\n".join(f"  - {way}" for way in ways)
        return f"{self.title} was not found, and {failure}.\nLooked in:\n{looked}\nWays to get it:\n{ways}"

    def read_part(self, folder, part):
        """Images and labels, arrays, of the "train" or "test" part."""
        raise NotImplementedError

    def read(self, part, root=None, download=True):
        """The "train" or "test" Part, read once a process."""
        return read_once(self, part, self.find(root, download))


@lru_cache(maxsize=8)
def read_once(published, part, folder):
    """The Part of a Published set in a folder."""
    return as_part(*published.read_part(folder, part))


@dataclass(frozen=True, eq=False, kw_only=True)
class FileSet(Published):
    """A set that torchvision downloads. train, test: the files of each part with the MD5 of their unpacked bytes."""

    loader: str  # the class of torchvision.datasets
    train: dict
    test: dict
    unpack: Callable  # of (folder, files with their MD5)

    @property
    def contents(self):
        return ", ".join(self.train | self.test)

    def present(self, folder):
        names = [*self.train, *self.test]
        return any((folder / name).exists() or (folder / f"{name}.gz").exists() for name in names)

    def fetch(self, root):
        from torchvision import datasets  # where it is used: importing it takes a second

        getattr(datasets, self.loader)(root, download=True)

    def check(self, folder):
        for name, md5 in (self.train | self.test).items():
            formats.read_checked(folder / name, md5)
            (folder / f"{name}.gz").unlink(missing_ok=True)

    def read_part(self, folder, part):
        return self.unpack(folder, getattr(self, part))
