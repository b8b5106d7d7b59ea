r"""Exact search for the most similar frame (OmniSource Sec. 3.3: "pairwise comparison"), in blocked matrix products.

Every query row is multiplied with every row of the index in bfloat16, which is two to four times as fast as float32
where the machine has it natively; what could still be the best, or reach the floor, is computed again exactly
(``whitening.cosines``). So the answer does not depend on precision, blocks or device.

How far a screened cosine can be off, for rows u, v of length at most 1 + 1e-6 and d dimensions:

    rounding the factors    |û·v̂ - u·v| <= ((1 + 2^-8)² - 1) Σ|u_i v_i|, and Σ|u_i v_i| <= |u||v| (Cauchy-Schwarz):
                            bfloat16 has 8 significant bits, so rounding to nearest is off by 2^-8 of the value
    adding up in float32    d 2^-22 Σ|û_i v̂_i|: products of bfloat16 are exact in float32, and d additions in any
                            order are off by d 2^-24 / (1 - d 2^-24) at most, or four times that where a device
                            truncates instead of rounding
    rounding the sum        2^-8 |û·v̂|, since the product is stored as bfloat16

    and 5e-7 for the 6 decimals that a cosine is rounded to, 1e-5 for lengths above 1 and the cosine's own division.

With d = 256 that is 0.012. In float32 only the middle term is left. Tests compare the bound with what is measured.
"""

import numpy as np
import torch
from torch import Tensor

from omnicli.stages.dedup.whitening import cosines, cosines_of_pairs
from omnicli.streams.temp_records import TempFile

BLOCK_ROWS = {"cpu": 1 << 14, "cuda": 1 << 17}  # rows of the index multiplied at once
QUERY_ROWS = {"cpu": 1 << 10, "cuda": 1 << 12}  # queries multiplied at once: the product is 32 MB, or 1 GB
PAIRS_AT_ONCE = 1 << 21  # exact cosines computed at once: 80 MB
ROWS_AT_ONCE = 1 << 14  # pairs compared at once, where they are few among many: 70 MB
DENSE_FROM = 16  # a product of all hopeful rows costs about as much as a sixteenth of them pair by pair
READ_THROUGH = 16  # exact rows that lie closer than this are read in one go


def screening_margin(num_dims: int, precision: torch.dtype) -> float:
    """How far a screened cosine can be from the exact one; derived above.

    >>> round(screening_margin(256, torch.bfloat16), 4)
    0.0118
    """
    summing = num_dims * 2.0**-22
    if precision == torch.float32:
        return summing + 1e-5 + 5e-7
    factors = (1 + 2.0**-8) ** 2
    return (factors - 1) + factors * (summing + (1 + summing) * 2.0**-8) + 1e-5 + 5e-7


def may_reach(queries: np.ndarray, rows: np.ndarray, floor: float) -> bool:
    """Whether a cosine of ``queries`` (Q, d) with ``rows`` (R, d) can be ``floor`` or more; seldom wrongly true."""
    peak = float((queries @ rows.T).max(initial=-1.0))
    return peak >= floor - screening_margin(queries.shape[1], torch.float32) or not queries.any(axis=1).all()


class FrameIndex:
    """Unit vectors to be searched: 2 bytes a number in memory (4 where float32 screens), the exact ones in a file.

    Args:
        num_dims: d.
        device: where the products are computed.
        precision: of the screening; decides the speed, never an answer.
        block_rows: rows multiplied at once; default by device.
    """

    def __init__(
        self,
        num_dims: int,
        *,
        device: torch.device | None = None,
        precision: torch.dtype = torch.float32,
        block_rows: int | None = None,
    ) -> None:
        self._num_dims = num_dims
        self._file = TempFile()
        self._device = device or torch.device("cpu")
        self._precision = precision
        self._block_rows = block_rows or BLOCK_ROWS[self._device.type]
        self._query_rows = QUERY_ROWS[self._device.type]
        self._margin = screening_margin(num_dims, precision)
        self._blocks: list[Tensor] = []  # (d, block_rows) each, the last one partly filled
        self._scores: Tensor | None = None  # where products are written: fresh memory costs as much as they do
        self._num_rows = 0
        self._has_zeros = False
        if self._device.type == "cuda":  # sums in bfloat16 would break the bound
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def __len__(self) -> int:
        """Number of rows."""
        return self._num_rows

    def append(self, rows: np.ndarray) -> None:
        """Take in unit vectors (R, d) float32, numbered on from those before."""
        self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())
        self._has_zeros |= bool((~rows.any(axis=1)).any())
        while len(rows):
            used = self._num_rows % self._block_rows
            if used == 0:
                self._blocks.append(self._empty_block())
            taken = min(self._block_rows - used, len(rows))
            self._blocks[-1][:, used : used + taken] = torch.from_numpy(np.ascontiguousarray(rows[:taken])).T
            self._num_rows += taken
            rows = rows[taken:]

    def search(self, queries: np.ndarray, floor: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
        """The most similar row of each query, the first of equal ones.

        Args:
            queries: (Q, d) float32 unit vectors.
            floor: less similar ones do not matter.

        Returns:
            (Q,) float64 cosines to 6 decimals, -inf where none reaches ``floor``; (Q,) int64 rows, -1 there.
        """
        best = np.full(len(queries), -np.inf)
        rows = np.full(len(queries), -1, np.int64)
        for start in range(0, len(queries), self._query_rows):
            part = slice(start, start + self._query_rows)
            self._search_part(queries[part], floor, best[part], rows[part])
        return best, rows

    def _search_part(self, queries: np.ndarray, floor: float, best: np.ndarray, rows: np.ndarray) -> None:
        """Fill ``best`` and ``rows`` (Q,) for queries (Q, d) that fit one product."""
        screened = torch.from_numpy(queries).to(self._device, self._precision)
        is_zero = ~queries.any(axis=1) if self._has_zeros else np.zeros(len(queries), bool)
        for number, block in enumerate(self._blocks):
            first = number * self._block_rows
            scores = self._multiply(screened, block[:, : self._num_rows - first])  # (Q, R)
            peaks = scores.amax(dim=1).double().cpu().numpy()  # (Q,)
            # A row of zeros is as good as it gets for a query of zeros, and its screened cosine is 0.
            limits = np.maximum(peaks - 2 * self._margin, np.maximum(best, floor) - self._margin)
            limits[is_zero] = -1.0
            hopeful = np.flatnonzero((peaks >= limits) | is_zero)
            if len(hopeful):
                self._compare_exactly(queries, scores, limits, hopeful, first, floor, best, rows)

    def _multiply(self, queries: Tensor, block: Tensor) -> Tensor:
        """(Q, d) times (d, R), valid until the next call."""
        if self._scores is None:
            num_scores = self._query_rows * self._block_rows
            self._scores = torch.empty(num_scores, dtype=self._precision, device=self._device)
        shape = len(queries), block.shape[1]
        return torch.mm(queries, block, out=self._scores[: shape[0] * shape[1]].view(shape))

    def _compare_exactly(
        self,
        queries: np.ndarray,
        scores: Tensor,
        limits: np.ndarray,
        hopeful: np.ndarray,
        first: int,
        floor: float,
        best: np.ndarray,
        rows: np.ndarray,
    ) -> None:
        """Exact cosines of the pairs whose screened ones reach the limit of their query."""
        chosen = torch.from_numpy(hopeful).to(self._device)
        # Rounded down to float32, lest a limit between two numbers lose a column.
        bounds = torch.from_numpy(np.nextafter(limits[hopeful].astype(np.float32), np.float32(-2))).to(self._device)
        is_candidate = scores[chosen] >= bounds[:, None]  # (H, R)
        pairs = is_candidate.nonzero().cpu().numpy()  # (P, 2), query by query, columns ascending
        columns, inverse = np.unique(pairs[:, 1], return_inverse=True)
        if len(pairs) * DENSE_FROM > len(hopeful) * len(columns):
            self._compare_all(queries, hopeful, first + columns, floor, best, rows)
            return
        held = self._rows(first + columns)
        for start in range(0, len(pairs), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            owners, numbers = hopeful[pairs[part, 0]], first + pairs[part, 1]
            exact = cosines_of_pairs(queries[owners], held[inverse[part]])
            order = np.lexsort((-numbers, exact))  # ascending: of equal ones the first row is written last
            is_better = (exact[order] > best[owners[order]]) & (exact[order] >= floor)
            better = order[is_better]
            best[owners[better]] = exact[better]
            rows[owners[better]] = numbers[better]

    def _compare_all(
        self,
        queries: np.ndarray,
        hopeful: np.ndarray,
        numbers: np.ndarray,
        floor: float,
        best: np.ndarray,
        rows: np.ndarray,
    ) -> None:
        """Exact cosines of the hopeful queries with all rows of these numbers (C,)."""
        step = max(1, PAIRS_AT_ONCE // len(hopeful))
        for start in range(0, len(numbers), step):
            some = numbers[start : start + step]
            exact = cosines(queries[hopeful], self._rows(some))  # (H, C)
            nearest = exact.argmax(axis=1)  # the first of equal ones
            found = exact[np.arange(len(hopeful)), nearest]
            better = (found > best[hopeful]) & (found >= floor)
            best[hopeful[better]] = found[better]
            rows[hopeful[better]] = some[nearest[better]]

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        """The exact rows (C, d) float32 of these numbers."""
        first, last = int(numbers[0]), int(numbers[-1])
        if last - first < READ_THROUGH * len(numbers):
            span = self._read(first, last + 1 - first)
            return span.take(numbers - first, axis=0)
        return np.concatenate([self._read(number, 1) for number in numbers.tolist()])

    def _read(self, first: int, num_rows: int) -> np.ndarray:
        row_bytes = 4 * self._num_dims
        read = self._file.read(first * row_bytes, num_rows * row_bytes)
        return np.frombuffer(read, np.float32).reshape(num_rows, self._num_dims)

    def _empty_block(self) -> Tensor:
        return torch.zeros((self._num_dims, self._block_rows), dtype=self._precision, device=self._device)
