"""What all tests of the exercises' checks need."""

import pytest

from dualad_lib.teaching.checks import CheckFailed


def fails(check, answer, *words):
    """The check rejects the answer with a message that holds these words."""
    with pytest.raises(CheckFailed) as caught:
        check(answer)
    for word in words:
        assert word in str(caught.value), f"{word!r} not in: {caught.value}"


def todo(*args):
    """A coded exercise as the student finds it."""
    raise NotImplementedError
