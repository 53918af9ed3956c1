"""The report in other languages than English: its text translated by a table, what stands in code left as it is."""

import html
import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "languages"
ENGLISH = "en"
# The languages beside English, each with its file of the folder: English phrases and their translations. `{}` in a
# phrase stands for any text, which `{0}` puts into the translation, translated itself.
LANGUAGES = {"zh": "zh.json"}

# What is not text: markup, and everything within code, styles and drawings of numbers.
_TOKENS = re.compile(r"<(style|script|pre|code)\b.*?</\1\s*>|<[^>]*>|[^<]+", re.DOTALL)
_GAP = r"((?:(?![.!?] +[A-Z]).)+?)"    # within one sentence
_SENTENCES = re.compile(r"(?<=[.!?:]) +(?=[A-Z])")


def in_language(page: str, language: str, *, names: Collection[str] = ()) -> str:
    """The HTML of a report in a language of LANGUAGES. A text that the table does not have stays English, and the
    user's own `names` stay as they are, since a class may be called `train`."""
    if language == ENGLISH:
        return page
    phrases = _phrases(language)

    def token(found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith("<") or not text.strip():
            return text.replace('<html lang="en">', f'<html lang="{language}">')
        inner = text.strip()
        if html.unescape(inner) in names:
            return text
        translated = phrases.translated(html.unescape(inner))
        return text.replace(inner, html.escape(translated, quote=True)) if translated is not None else text

    return _TOKENS.sub(token, page)


class _Phrases:
    """A table of phrases, those without a gap by themselves, the others by the most letters first."""

    def __init__(self, table: Mapping[str, str]):
        self.whole = {english: text for english, text in table.items() if "{}" not in english}
        with_gaps = sorted((english for english in table if "{}" in english), key=lambda text: -len(text))
        self.patterns = [(re.compile(_GAP.join(map(re.escape, english.split("{}")))), table[english])
                         for english in with_gaps]

    def translated(self, text: str) -> str | None:
        """The text in the other language; None where the table has neither it nor its sentences."""
        found = self._phrase(text)
        if found is not None:
            return found
        sentences = _SENTENCES.split(text)
        if len(sentences) == 1:
            return None
        parts = [self._phrase(one) for one in sentences]
        if all(part is None for part in parts):
            return None
        return "".join(one if part is None else part for one, part in zip(sentences, parts, strict=True))

    def _phrase(self, text: str) -> str | None:
        if text in self.whole:
            return self.whole[text]
        for pattern, translation in self.patterns:
            match = pattern.fullmatch(text)
            if match:
                return translation.format(*(self.translated(gap) or gap for gap in match.groups()))
        return None


@cache
def _phrases(language: str) -> _Phrases:
    return _Phrases(json.loads((FOLDER / LANGUAGES[language]).read_text(encoding="utf-8")))
