"""Text normalisation: one spelling for typographic variants; judges and word lists read normalised text.

VADER knows "isn't" but not "isn’t", and "good" but not "“good”". Without normalisation, the same words would
be judged differently depending on the punctuation marks that a model happens to write.
"""

import re
import unicodedata

# part of every judge's version: change it with any change that alters the result of `normalize`
VERSION = "text-2"

_APOSTROPHES = "‘’‚‛‹›′‵ʹʻʼʽˈˊˋ`´᾽᾿΄՚׳ꞌ＇｀❛❜❟❮❯"
_QUOTES = "“”„‟«»″‶ʺ˝״＂〝〞〟❝❞❠ˮ⹂🙶🙷🙸"
_HYPHENS = "‐‑‒−﹣－"
# they look blank, but Python does not treat them as white space
_BLANKS = "\u115f\u1160\u180e\u2800\u3164\uffa0"
_INVISIBLE = (
    "\xad\u034f\u061c\u200b\u200e\u200f\ufeff\x7f"
    + "".join(  # variation selectors and control characters too
        chr(code)
        for code in (
            *range(0x00, 0x09),
            *range(0x0E, 0x1C),
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2070),
            *range(0xFE00, 0xFE10),
            *range(0xFFF9, 0xFFFC),
            *range(0xE0100, 0xE01F0),
        )
    )
)
# full-width ASCII, ligatures such as ﬁ, bold and italic letters of mathematics (except for signs, the same
# letters in another typeface)
_FORMS = [
    *"ℎℬℰℱℋℐℒℳℛℯℊℴℭℌℑℜℨŉ",
    *map(chr, (*range(0xFF01, 0xFF5F), *range(0xFB00, 0xFB07), *range(0x1D400, 0x1D800))),
]
# bytes of Windows-1252 that were decoded as Latin-1; \x85 is left, because it may be a line end
_MISREAD = {chr(code): bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0) if code != 0x85}
_PLAIN = (
    {mark: unicodedata.normalize("NFKC", mark) for mark in _FORMS}
    | dict.fromkeys(_APOSTROPHES, "'")
    | dict.fromkeys(_QUOTES, '"')
    | dict.fromkeys(_HYPHENS, "-")
    | dict.fromkeys(_BLANKS, " ")
    | dict.fromkeys(_INVISIBLE, "")
    | {"ŉ": "'n", "…": "..."}
)
_MARKS = str.maketrans(_PLAIN | {byte: _PLAIN.get(mark, mark) for byte, mark in _MISREAD.items()})
_DASHES = "–—―⸺⸻﹘"
# after anything but the eyes and brackets of an emoticon, as in :–) and (–:
_DASH = re.compile(rf"""(?<=[^\s:;=<>({{\[|])(?<![:;=]['"])[{_DASHES}]+(?!['"]?[:;=)])""")
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&$]")  # what Markdown, and the HTML and formulas in it, are made of
_JOINERS = re.compile(r"(?<=[\0-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?=[\0-\x7f]|$)|^[\u200c\u200d]+")


def in_markdown(text: str) -> str:
    """`text` on one line as Markdown that shows it as it is: no markup, HTML, link, formula or command."""
    one_line = "".join(letter if letter.isprintable() else " " for letter in text)
    return _MARKUP.sub(r"\\\g<0>", one_line)


def normalize(text: str) -> str:
    """Return `text` in NFC with plain punctuation and single plain spaces.

    Apostrophes become ('), quotes ("), hyphens (-) and … three dots. A dash after a word becomes a spaced
    hyphen. White space, line breaks included, becomes single plain spaces, with none at the ends. Invisible
    characters are removed.

    Full-width ASCII, ligatures and the letters of mathematics become plain letters and signs. Accents, emoji
    with their joiners, emoticons, ², ™ and letters of every script are kept. The function is idempotent.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.replace("`", "'").split())
    text = unicodedata.normalize("NFC", text).translate(_MARKS)
    text = re.sub(f"[{_DASHES}]+", "-", _DASH.sub(" - ", text))
    return " ".join(unicodedata.normalize("NFC", _JOINERS.sub("", text)).split())
