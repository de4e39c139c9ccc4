"""Banks of vectors and the search for the nearest in them."""

import torch

from .errors import DataError

CHUNK = 2**23  # numbers in a block of distances: 32 MB in float32, which is faster than larger blocks


class Bank:
    """Vectors (M, d), float32, prepared once for many searches.

    nearest(q, k): distances (n, k) of queries (n, d) to their k nearest vectors, in rising order, and the indices (n,
    k). The search is by inner products near the origin, where float32 has digits to spare; the distance to what was
    found is measured again from the difference, so that it does not depend on how the queries are cut into batches.
    """

    def __init__(self, vectors):
        self.vectors = vectors.float()
        self.centre = self.vectors.mean(0)
        self._short = self.vectors - self.centre
        self._half_squares = self._short.square().sum(1) / 2

    def __len__(self):
        return len(self.vectors)

    def nearest(self, q, k=1):
        if not 1 <= k <= len(self):
            raise DataError(f"{k} neighbours asked for, but the bank holds {len(self)} vectors.")
        if torch.compiler.is_exporting():  # a graph of any number of queries holds no loop over them
            return self._nearest(q, k)
        found = [self._nearest(part, k) for part in q.split(max(1, CHUNK // len(self)))]
        distances, index = (torch.cat(parts) for parts in zip(*found, strict=True))
        return distances, index

    def _nearest(self, q, k):
        q = q.float()
        apart = torch.addmm(self._half_squares, q - self.centre, self._short.T, alpha=-1)
        index = apart.argmin(1, keepdim=True) if k == 1 else apart.topk(k, 1, largest=False).indices
        distances = torch.stack([(q - self.vectors[i]).square().sum(1) for i in index.T], 1).sqrt()
        order = distances.argsort(1)
        return distances.gather(1, order), index.gather(1, order)

    def spacing(self, k):
        """How far apart the bank's own vectors lie: mean distance of each to its k nearest others, (M,)."""
        if len(self) < 2:
            return self._half_squares.new_ones(len(self))
        distances, _ = self.nearest(self.vectors, min(k + 1, len(self)))
        return distances[:, 1:].mean(1)


def nearest_mixture(x, neighbours, shrinkage=0.3):
    """The mixture of its neighbours that lies nearest to each point. x: (n, d), neighbours: (n, k, d) -> (n, d).

    The weights sum to 1; each may be negative. shrinkage: how strongly they are drawn to equal ones, as a share of the
    neighbours' mean square distance from their mean. Source: local hyperplanes (Vincent & Bengio, NeurIPS 2001, eq. 5).
    """
    mean = neighbours.mean(1, keepdim=True)
    apart, wanted = neighbours - mean, (x[:, None] - mean).transpose(1, 2)
    products = apart @ apart.transpose(1, 2)
    scale = shrinkage * products.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    ridge = products + torch.diag_embed(scale[:, None].expand(-1, products.shape[1]))
    weights = torch.linalg.solve(ridge, apart @ wanted)
    return mean[:, 0] + (apart.transpose(1, 2) @ weights)[..., 0]


def greedy_coreset(vectors, count, seed=0, projection=64):
    """Indices (count,) of vectors that cover all others: each next one is the farthest from those chosen (k-centre).

    vectors: (M, d). Distances are taken in a random projection to `projection` dimensions (Johnson-Lindenstrauss). The
    first is drawn from the seed. Source: PatchCore (Roth et al., CVPR 2022), algorithm 1; Sener & Savarese, 2018.
    """
    if not 1 <= count <= len(vectors):
        raise DataError(f"a coreset of {count} asked for, of {len(vectors)} vectors.")
    generator = torch.Generator().manual_seed(seed)
    x = vectors.float()
    if x.shape[1] > projection:
        x = x @ (torch.randn(x.shape[1], projection, generator=generator) / projection**0.5).to(x.device)
    squares = x.square().sum(1)
    chosen = torch.empty(count, dtype=torch.long, device=x.device)
    chosen[0] = int(torch.randint(len(x), (), generator=generator))
    least = torch.full_like(squares, torch.inf)
    for number in range(1, count):
        last = chosen[number - 1 : number]  # stays on the device: reading it back would stall a GPU
        apart = torch.addmv(squares + squares[last], x, x[last[0]], alpha=-2)
        least = torch.minimum(least, apart)
        chosen[number] = least.argmax()
    return chosen
