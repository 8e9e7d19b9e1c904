"""Copies are found whatever their case, white space and composition; different texts stay different."""

import numpy as np

from bise.corpus.duplicates import text_digests
from bise.corpus.texts import pack


def test_case_white_space_and_composition_do_not_matter() -> None:
    same = ["Été à  Paris.", "  été\nà paris. ", "E\u0301te\u0301 a\u0300 PARIS."]
    different = ["ete a paris.", "été à paris", ""]
    digests = text_digests(*pack(same + different))
    assert digests.shape == (6, 2)
    assert (digests[:3] == digests[0]).all()
    assert len(np.unique(digests, axis=0)) == 4
