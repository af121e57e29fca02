"""One spelling for what typography writes in many: every judge and word list reads a text as `normalize`
leaves it.

VADER knows "isn't" but not "isn’t", and "good" but not "“good”": without this the same words are judged
differently by the marks that a model happens to write.
"""

import re
import unicodedata

# part of every judge's version: change it with anything that changes what `normalize` gives
VERSION = "text-2"

_APOSTROPHES = "‘’‚‛‹›′‵ʹʻʼʽˈˊˋ`´᾽᾿΄՚׳ꞌ＇｀❛❜❟❮❯"
_QUOTES = "“”„‟«»″‶ʺ˝״＂〝〞〟❝❞❠ˮ⹂🙶🙷🙸"
_HYPHENS = "‐‑‒−﹣－"
_BLANKS = "\u115f\u1160\u180e\u2800\u3164\uffa0"  # empty to the eye, though no white space to Python
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
# full-width ASCII, ligatures such as ﬁ, bold and italic letters of mathematics (but for signs, the same
# letters in another cut)
_FORMS = [
    *"ℎℬℰℱℋℐℒℳℛℯℊℴℭℌℑℜℨŉ",
    *map(chr, (*range(0xFF01, 0xFF5F), *range(0xFB00, 0xFB07), *range(0x1D400, 0x1D800))),
]
# bytes of Windows-1252 that were read as Latin-1; \x85 is left, for it may be a line end
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
# behind anything but the eyes and brackets of a sign, as in :–) and (–:
_DASH = re.compile(rf"""(?<=[^\s:;=<>({{\[|])(?<![:;=]['"])[{_DASHES}]+(?!['"]?[:;=)])""")
_JOINERS = re.compile(r"(?<=[\0-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?=[\0-\x7f]|$)|^[\u200c\u200d]+")


def normalize(text: str) -> str:
    """`text` in NFC with plain apostrophes ('), quotes ("), hyphens, three dots for …, a spaced hyphen for a
    dash behind a word, and single plain spaces, line breaks included, without any at its ends; what cannot be
    seen is taken out.

    Full-width ASCII, ligatures and the letters of mathematics become plain letters and signs. Accents, emoji
    with their joiners, emoticons, ², ™ and letters of every script stay. What `normalize` gives, it leaves as
    it is.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.replace("`", "'").split())
    text = unicodedata.normalize("NFC", text).translate(_MARKS)
    text = re.sub(f"[{_DASHES}]+", "-", _DASH.sub(" - ", text))
    return " ".join(unicodedata.normalize("NFC", _JOINERS.sub("", text)).split())
