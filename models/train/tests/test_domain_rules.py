"""What rules on a domain find: counted, falling with the confidence, and written where the build reads it."""

import json
import pathlib

import numpy as np

import domain_rules
from rows import DOMAINS

MANIFEST = pathlib.Path(__file__).parents[2] / "manifest.json"
MEDICAL, LEGAL = DOMAINS.index("medical"), DOMAINS.index("legal")


def example():
    likely = np.full((4, len(DOMAINS)), 0.01)
    likely[0, MEDICAL], likely[1, MEDICAL], likely[2, MEDICAL], likely[3, LEGAL] = 0.9, 0.1, 0.3, 0.2
    return likely, np.array([MEDICAL, MEDICAL, LEGAL, -1])


def test_recall_and_precision_are_counted_over_labelled_prompts():
    found = {tuple(one["domains"]): one for one in domain_rules.rules(*example())["rules"]}
    assert len(found) == len(DOMAINS) * (len(DOMAINS) + 1) // 2
    at = domain_rules.CONFIDENCES.index
    medical = found["medical",]
    assert medical["prompts"] == 2
    assert [medical["recall"][at(c)] for c in (0.0, 0.1, 0.2, 0.95)] == [1, 1, 0.5, 0]
    assert [medical["precision"][at(c)] for c in (0.1, 0.2, 0.4, 0.95)] == [0.667, 0.5, 1, 1]
    both = found["medical", "legal"]
    # The probabilities of both count together: 0.1 and 0.01 reach 0.1.
    assert [both["recall"][at(c)] for c in (0.1, 0.3)] == [1, 0.667]


def test_the_manifest_is_written_as_it_was_and_read_back():
    manifest = {"schema_version": 1, "skills": ["everyday"], "domain_rules": "of another training"}
    text = domain_rules.written(manifest, domain_rules.rules(*example()))
    assert json.loads(text) == {**manifest, "domain_rules": domain_rules.rules(*example())}
    assert text == domain_rules.written(json.loads(text), domain_rules.rules(*example()))


def test_the_shipped_manifest_has_them():
    measured = json.loads(MANIFEST.read_text(encoding="utf-8"))["domain_rules"]
    assert measured["confidences"] == domain_rules.CONFIDENCES
    for one in measured["rules"]:
        assert one["recall"] == sorted(one["recall"], reverse=True) and one["recall"][0] == 1, one["domains"]
        assert len(one["precision"]) == len(domain_rules.CONFIDENCES) and one["prompts"] > 0
