"""Hides the values of secret options in what is shown of a command line."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence

from .messages import is_secret

_HIDDEN = "***"
_OPTION = re.compile(r"--?[^\W\d]")
"""The beginning of an option, unlike that of a negative number."""


def is_secret_option(action: argparse.Action) -> bool:
    """Whether one of an option's names says that its values must not be shown."""
    return any(map(is_secret, (*action.option_strings, action.dest)))


def hide_secrets(words: Sequence[str], actions: Sequence[argparse.Action]) -> list[str]:
    """Replace the values of secret options in a command line by ``***``.

    An option that is not among the actions is taken for a secret one that is misspelt.
    """
    return [shown + (_HIDDEN if secret else "") for shown, secret in _split_words(words, actions)]


def hide_in_message(message: str, words: Sequence[str], actions: Sequence[argparse.Action]) -> str:
    """Replace in a message what ``hide_secrets`` replaces in the command line that it is about."""
    secrets = {secret for _, secret in _split_words(words, actions) if secret}
    for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
        for text in (secret, repr(secret)[1:-1]):
            message = message.replace(text, _HIDDEN)
    return message


def _split_words(
    words: Sequence[str], actions: Sequence[argparse.Action]
) -> Iterator[tuple[str, str]]:
    """Split each word into the part that may be shown and the secret that follows it."""
    options = {option: action for action in actions for option in action.option_strings}
    secret = False
    for word in words:
        name, value = _split_option(word, options) if _OPTION.match(word) else ("", word)
        if name:
            secret = name not in options or is_secret_option(options[name])
        yield (word.removesuffix(value), value) if secret else (word, "")


def _split_option(word: str, options: Mapping[str, argparse.Action]) -> tuple[str, str]:
    """The option of a word, and the value in the same word: ``--x=value`` or ``-xvalue``."""
    name, _, value = word.partition("=")
    if name.startswith("--") or name in options or f"-{name}" in options:
        return name, value
    letters = word[1:]
    while letters[1:] and (flag := options.get(f"-{letters[0]}")) and flag.nargs == 0:
        letters = letters[1:]
    return f"-{letters[0]}", letters[1:].removeprefix("=")
