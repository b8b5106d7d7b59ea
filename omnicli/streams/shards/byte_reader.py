"""Bytes of an HDF5 dataset, read directly from the file.

HDF5 needs more time to find 16 kB than to read them, and serves one thread at a time. An uncompressed dataset is stored
in chunks of plain bytes, so HDF5 is only asked where a chunk begins.
"""

import os

import h5py


class StoredBytes:
    """A finished dataset (B,) of bytes; can be read from many threads.

    Args:
        dataset: of uint8, in an open file. Ours: HDF5 reads it if it is compressed or not in a plain file.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self._num_bytes = len(dataset)
        self._chunk_bytes = dataset.chunks[0] if dataset.chunks else 0
        is_plain = (
            self._chunk_bytes and dataset.dtype.itemsize == 1 and not dataset.id.get_create_plist().get_nfilters()
        )
        self._handle = dataset.file.id.get_vfd_handle() if is_plain and dataset.file.driver == "sec2" else -1

    def read(self, begin: int, end: int) -> bytes:
        """Bytes [begin, end).

        Raises:
            OSError: the range is outside the dataset, or the file is truncated.
        """
        if not 0 <= begin <= end <= self._num_bytes:
            raise OSError(f"bytes {begin} to {end} of {self._num_bytes}")
        parts = []
        while begin < end and self._handle >= 0:
            within = begin % self._chunk_bytes
            offset = self._dataset.id.get_chunk_info_by_coord((begin - within,)).byte_offset
            if offset is None:  # never written
                break
            part = os.pread(self._handle, min(end - begin, self._chunk_bytes - within), offset + within)
            if not part:
                raise OSError("the file ends before its frames")
            parts.append(part)
            begin += len(part)
        if begin < end:
            parts.append(self._dataset[begin:end].tobytes())
        return b"".join(parts)
