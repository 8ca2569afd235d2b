"""The shop's tests of its descriptions."""

import pytest
from shop import describe


@pytest.mark.parametrize("article", ["a red kettle", "a blue chair", "a garden hose"])
def test_an_article_gets_a_description(article):
    assert describe(article)
