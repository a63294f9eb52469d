"""The documents explain messages that the example's jobs have."""

from pathlib import Path

import messages


def test_messages_are_those_of_the_code(generated: Path) -> None:
    _, example = messages.documented()
    in_code = messages.in_code(generated)
    for message in example:
        assert any(message in text for text in in_code), message
