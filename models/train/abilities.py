"""Benchmark scores → what the ability map sees. The Rust twin of `inputs` is `src/ability.rs`."""

import json
import pathlib

import numpy as np

PRIOR_MAP = np.zeros((1, 5), np.float32)


def inputs(path, models):
    return np.ones((len(models), 1), np.float32), 0
