"""One spelling for what typography writes in many: every judge and word list reads a text as `normalize` leaves it.

VADER knows "isn't" but not "isn’t", and "good" but not "“good”": without this the same words are judged differently by the marks
that a model happens to write.
"""

import re
import unicodedata

VERSION = "text-1"  # part of every judge's version: change it with anything that changes what `normalize` gives

_APOSTROPHES = "‘’‚‛‹›′‵ʹʻʼʽˈˊˋ`´᾽᾿΄՚׳ꞌ＇｀❛❜\x91\x92"  # \x91 … \x97: bytes of Windows-1252 that were read as Latin-1
_QUOTES = "“”„‟«»″‶ʺ˝״＂〝〞〟❝❞❠\x93\x94"
_HYPHENS = "‐‑‒−﹣－"
_BLANKS = "\u180e\u2800\u3164\uffa0"  # empty to the eye, though no white space to Python
_INVISIBLE = "\xad\u034f\u061c\u200b\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufe0e\ufe0f\ufeff" + "".join(
    map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
)
# the full-width forms of ASCII, and ligatures such as ﬁ: the same letters in another cut
_FORMS = [chr(code) for code in (*range(0xFF01, 0xFF5F), *range(0xFB00, 0xFB07))]
_MARKS = str.maketrans(
    {mark: unicodedata.normalize("NFKC", mark) for mark in _FORMS}
    | dict.fromkeys(_APOSTROPHES, "'")
    | dict.fromkeys(_QUOTES, '"')
    | dict.fromkeys(_HYPHENS, "-")
    | dict.fromkeys(_BLANKS, " ")
    | dict.fromkeys(_INVISIBLE)
    | {"…": "...", "\x96": "–", "\x97": "—"}
)
_DASH = re.compile(r"""(?<=[\w"'!?.,])[–—―]+""")  # behind a word; elsewhere it is part of a sign, as in :–)
_JOINERS = re.compile(r"(?<=[\0-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?=[\0-\x7f]|$)|^[\u200c\u200d]+")


def normalize(text: str) -> str:
    """`text` in NFC with plain apostrophes ('), quotes ("), hyphens, three dots for …, a spaced hyphen for a dash behind a word,
    and single plain spaces, line breaks included, without any at its ends; what cannot be seen is taken out.

    Full-width ASCII and ligatures become plain letters and signs. Accents, emoji with their joiners, emoticons, ², ™ and letters
    of every script stay. What `normalize` gives, it leaves as it is.
    """
    if text.isascii():
        return " ".join(text.replace("`", "'").split())
    text = unicodedata.normalize("NFC", text).translate(_MARKS)
    text = re.sub("[–—―]+", "-", _DASH.sub(" - ", text))
    return " ".join(unicodedata.normalize("NFC", _JOINERS.sub("", text)).split())
