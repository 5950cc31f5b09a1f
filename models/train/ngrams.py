"""Hashed n-grams as sparse rows, as `src/analysis/classifier/ngrams.rs` makes them: hash → bucket → row of the table.

A row counts once per prompt, and the rows of one list (words, letters, context) have length 1 together.
"""

import numpy as np
import scipy.sparse as sparse

from heads import BUCKET_BITS, MOST, SALTS


def buckets(hashes):
    """The buckets of prompts' hashes [prompt, list]: one sparse matrix of ones per list, [prompt, bucket]."""
    out = []
    for k, salt in enumerate(SALTS):
        lists = [np.unique((h * np.uint32(salt)) >> np.uint32(32 - BUCKET_BITS)) for h in hashes[:, k]]
        start = np.concatenate([[0], np.cumsum([len(one) for one in lists])])
        where = np.concatenate(lists).astype(np.int32)
        out.append(sparse.csr_matrix((np.ones(len(where), np.float32), where, start), (len(lists), 1 << BUCKET_BITS)))
    return out


def unit(matrix):
    """The same with rows of length 1."""
    size = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return (sparse.diags(1 / np.maximum(size, 1e-6)) @ matrix).tocsr().astype(np.float32)


def picked(found, index):
    """The unit rows over the table's rows: `found` as from `buckets`, `index` [bucket] → row, 0 for none. Per list.

    The bound of `MOST`, which the filter applies to very long prompts, is not applied here."""
    rows = int(index.max()) + 1
    out = []
    for matrix in found:
        used = np.flatnonzero(index)
        move = sparse.csr_matrix(
            (np.ones(len(used), np.float32), (used, index[used].astype(np.int32))), (len(index), rows)
        )
        out.append(unit(matrix @ move))
    return out


def rows(hashes, index):
    """Rows of the table for one prompt, with their weights: what the filter feeds the model with."""
    ids, weights = [], []
    for values, salt, most in zip(hashes, SALTS, MOST):
        found = index[(values * np.uint32(salt)) >> np.uint32(32 - BUCKET_BITS)]
        used, first = np.unique(found[found > 0], return_index=True)
        used = used[np.argsort(first)][:most]
        ids.append(used)
        weights.append(np.full(len(used), 1 / np.sqrt(max(len(used), 1)), np.float32))
    return np.concatenate(ids), np.concatenate(weights)
