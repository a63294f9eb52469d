"""Splits command lines into options, and hides the values of secret ones in what is shown."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .messages import is_secret

_HIDDEN = "***"
_OPTION = re.compile(r"--?[^\W\d]")
"""The beginning of an option, unlike that of a negative number."""


class TypedOption(NamedTuple):
    """An option and its values, as argparse reads them."""

    word: str
    """The option's own word, such as ``-vk5``; empty for words before the first option."""
    flags: list[str]
    """Short options without values in the same word, such as ``-v``."""
    name: str
    """As it was typed: ``--api_key`` or ``-k``."""
    value: str | None
    """The value in the option's own word."""
    values: list[str]
    """The words that follow."""
    action: argparse.Action | None
    """What the option is; ``None`` if it is not known."""

    @property
    def is_secret(self) -> bool:
        """Whether its values must not be shown; one that is not known may be a misspelt secret."""
        return bool(self.name) and (self.action is None or is_secret_option(self.action))


def is_secret_option(action: argparse.Action) -> bool:
    """Whether one of an option's names says that its values must not be shown."""
    return any(map(is_secret, (*action.option_strings, action.dest)))


def split_options(
    words: Sequence[str], actions: Sequence[argparse.Action]
) -> Iterator[TypedOption]:
    """Yield the options of a command line, without abbreviations, in their order."""
    options = {option: action for action in actions for option in action.option_strings}
    found = TypedOption("", [], "", None, [], None)
    for word in words:
        if _is_option(word, options):
            if found.name or found.values:
                yield found
            flags, name, value = _split_word(word, options)
            found = TypedOption(word, flags, name, value, [], options.get(name))
        else:
            found.values.append(word)
    if found.name or found.values:
        yield found


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
    for option in split_options(words, actions):
        if option.name:
            value = (option.value or "") if option.is_secret else ""
            yield option.word.removesuffix(value), value
        for word in option.values:
            value = word if option.is_secret else _misspelt_value(word)
            yield word.removesuffix(value), value


def _misspelt_value(word: str) -> str:
    """What is hidden of a value that may also be a misspelt option with a blank in its value."""
    return (_split_word(word, {})[2] or "") if _OPTION.match(word) else ""


def _is_option(word: str, options: Mapping[str, argparse.Action]) -> bool:
    """Whether argparse takes a word for an option, and not for a value that begins with a dash."""
    if word.partition("=")[0] in options or word[:2] in options:
        return True
    return bool(_OPTION.match(word)) and " " not in word


def _split_word(
    word: str, options: Mapping[str, argparse.Action]
) -> tuple[list[str], str, str | None]:
    """The flags, the option and the value in one word: ``--x=value``, ``-xvalue``, ``-vx``."""
    name, equals, value = word.partition("=")
    # One dash instead of two is a misspelling, unless the letter after it is an option.
    misspelt = word[:2] not in options and f"-{name}" in options
    if name.startswith("--") or name in options or misspelt:
        return [], name, value if equals else None
    flags: list[str] = []
    letters = word[1:]
    while letters[1:] and (flag := options.get(f"-{letters[0]}")) and flag.nargs == 0:
        flags.append(f"-{letters[0]}")
        letters = letters[1:]
    return flags, f"-{letters[0]}", letters[1:].removeprefix("=") if letters[1:] else None
