"""Splits command lines into options, and hides the values of secret options."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .messages import is_secret

_HIDDEN = "***"
_OPTION = re.compile(r"--?[^\W\d]")
"""The beginning of an option, but not of a negative number."""


class TypedOption(NamedTuple):
    """An option and its values on a command line, as argparse reads them."""

    word: str
    """The word with the option, such as ``-vk5``; empty for words before the first option."""
    flags: list[str]
    """Short options without values in this word, such as ``-v``."""
    name: str
    """As typed: ``--api_key`` or ``-k``."""
    value: str | None
    """The value in this word."""
    values: list[str]
    """The words that follow."""
    action: argparse.Action | None
    """The definition of the option; ``None`` if the option is unknown."""

    @property
    def is_secret(self) -> bool:
        """Whether its values must be hidden; an unknown option may be a misspelt secret one."""
        return bool(self.name) and (self.action is None or is_secret_option(self.action))


def is_secret_option(action: argparse.Action) -> bool:
    """Return whether the values of an option must be hidden, according to its names."""
    return any(map(is_secret, (*action.option_strings, action.dest)))


def split_options(
    words: Sequence[str], actions: Sequence[argparse.Action]
) -> Iterator[TypedOption]:
    """Yield the options of a command line in order. Abbreviations are not recognized."""
    options = {option: action for action in actions for option in action.option_strings}
    current = TypedOption("", [], "", None, [], None)
    for word in words:
        if _is_option(word, options):
            if current.name or current.values:
                yield current
            flags, name, value = _split_word(word, options)
            current = TypedOption(word, flags, name, value, [], options.get(name))
        else:
            current.values.append(word)
    if current.name or current.values:
        yield current


def hide_secrets(words: Sequence[str], actions: Sequence[argparse.Action]) -> list[str]:
    """Replace the values of secret options in a command line by ``***``.

    Unknown options are treated as secret, because they may be misspelt secret options.
    """
    return [shown + (_HIDDEN if secret else "") for shown, secret in _split_words(words, actions)]


def hide_in_message(message: str, words: Sequence[str], actions: Sequence[argparse.Action]) -> str:
    """Replace the values that ``hide_secrets`` hides in a message about the command line."""
    secrets = {secret for _, secret in _split_words(words, actions) if secret}
    for secret in sorted(secrets, key=len, reverse=True):  # one may contain another
        for text in (secret, repr(secret)[1:-1]):
            message = message.replace(text, _HIDDEN)
    return message


def _split_words(
    words: Sequence[str], actions: Sequence[argparse.Action]
) -> Iterator[tuple[str, str]]:
    """Split each word into a part that may be shown and a secret that follows it."""
    for option in split_options(words, actions):
        if option.name:
            value = (option.value or "") if option.is_secret else ""
            yield option.word.removesuffix(value), value
        for word in option.values:
            value = word if option.is_secret else _misspelt_value(word)
            yield word.removesuffix(value), value


def _misspelt_value(word: str) -> str:
    """Return the secret in a value that may be a misspelt option with a space in its value."""
    return (_split_word(word, {})[2] or "") if _OPTION.match(word) else ""


def _is_option(word: str, options: Mapping[str, argparse.Action]) -> bool:
    """Return whether argparse reads a word as an option, and not as a value."""
    if word.partition("=")[0] in options or word[:2] in options:
        return True
    return bool(_OPTION.match(word)) and " " not in word


def _split_word(
    word: str, options: Mapping[str, argparse.Action]
) -> tuple[list[str], str, str | None]:
    """Return the flags, option and value in a word: ``--x=value``, ``-xvalue`` or ``-vx``."""
    name, equals, value = word.partition("=")
    # One dash instead of two is a misspelling, unless the next letter is a short option.
    misspelt = word[:2] not in options and f"-{name}" in options
    if name.startswith("--") or name in options or misspelt:
        return [], name, value if equals else None
    flags: list[str] = []
    letters = word[1:]
    while letters[1:] and (flag := options.get(f"-{letters[0]}")) and flag.nargs == 0:
        flags.append(f"-{letters[0]}")
        letters = letters[1:]
    return flags, f"-{letters[0]}", letters[1:].removeprefix("=") if letters[1:] else None
