"""Layout of the graph that training, export and figures share: heads of everyday prompts, their bounds, and how n-gram
hashes pick rows. Constants alone, so that the tests need none of the packages that training needs."""

from rows import DOMAINS, TASKS

EVERYDAY = [
    ("everyday_difficulty", 1),
    ("everyday_slope", 1),
    ("everyday_log_tokens", 1),
    ("everyday_log_sigma", 1),
    ("everyday_task", len(TASKS)),
    ("everyday_domain", len(DOMAINS)),
    ("measured", 1),
]
# Bounds of difficulty and slope; src/analysis/classifier/fitted.rs has the same.
SLOPES, LIMIT = (0.4, 1.8), 6.0
# Bits of a hash that pick a bucket of ngrams.bin, the odd factors that keep the lists (words, letters, context) apart,
# and the most rows of each; src/analysis/classifier/ngrams.rs has the same.
BUCKET_BITS = 17
SALTS = [1, 0x9E3779B1, 0x85EBCA77]
MOST = [384, 640, 192]
NGRAMS = sum(MOST)
