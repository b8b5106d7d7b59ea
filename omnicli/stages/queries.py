"""What to search for: class names to queries and hashtags (OmniSource Sec. 3.3, 4.2; IG-65M Sec. 3.1, A.1).

    in    class names
    out   for each, what a search engine is asked, or the hashtags that a social network is

Paper: each class name is queried as it is; Instagram gets "several tags for each class" (1,479 for 400). IG-65M: "the
original and stemmed versions of every word in the seed label, concatenated in all possible permutations".

A compound of a noun and an -ing form that no dictionary has as a verb is two words, as OmniSource transforms
"beekeeping" to "keeping bee" (OmniSource Sec. 3.3). Of lists of verbs and of nouns, each pair is a label (IG-65M A.1).

Ours: a stem is the word's dictionary form, so that it is a word ("candle", never "candl"); a verb has that form and
-ing; the last of several nouns is singular and plural; articles only in the order of the name; names of more than three
words keep their order; what brackets hold, as in "shooting goal (soccer)", is only in the name's own tag. A tag that
several classes would have is nobody's, unless it is the very name of one.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from lemminflect import getAllLemmas, getInflection

from omnicli.rng import keyed_seed
from omnicli.streams.class_names import bare_name, normalise_class

ARTICLES = {"a", "an", "the"}
LINKS = {"and", "or", "of", "in", "on", "to", "with", "from", "into", "not", "for", "at", "by", "up", "off", "out"}
MAX_PERMUTED = 3  # Ours: 4 words in every order would be 24 times their forms
MIN_STEM, MIN_FRONT = 3, 2  # of "keeping" and of "bee" in "beekeeping"
ING = "ing"


@dataclass(frozen=True, slots=True)
class Query:
    """One question to one engine.

    Attributes:
        text: what is asked.
        class_name: for which class.
        since: first day of the answers, or None.
        before: day after the last.
    """

    text: str
    class_name: str
    since: date | None = None
    before: date | None = None


def search_queries(names: Sequence[str], windows: Sequence[tuple[date, date]] = ()) -> Iterator[Query]:
    """The class names as they are (OmniSource Sec. 4.2), once per time window: engines limit results per query."""
    for name in names:
        if not windows:
            yield Query(bare_name(name), name)
        for since, before in windows:
            yield Query(bare_name(name), name, since, before)


def date_windows(first: date, end: date, days: int) -> list[tuple[date, date]]:
    """Half-open windows of so many days that tile [first, end); the last may be shorter.

    >>> [before.isoformat() for _, before in date_windows(date(2020, 1, 1), date(2020, 3, 1), 30)]
    ['2020-01-31', '2020-03-01']
    """
    starts = [first + timedelta(days=at) for at in range(0, (end - first).days, days)]
    return list(itertools.pairwise([*starts, end]))


def hashtag_queries(names: Sequence[str], *, max_tags: int | None = None) -> tuple[list[Query], int]:
    """The tags of every class, and how many were left out because several classes would have them.

    Args:
        names: of the classes.
        max_tags: of one class: the most like its name; None: all.
    """
    own = [_joined(words_of(name)) for name in names]
    tags = [hashtags(name) for name in names]
    claims: dict[str, list[int]] = {}
    for label, candidates in enumerate(tags):
        for tag in candidates:
            claims.setdefault(tag, []).append(label)
    owners = {tag: _owner(tag, claimants, own) for tag, claimants in claims.items()}
    queries = [
        Query(tag, names[label])
        for label, candidates in enumerate(tags)
        for tag in [tag for tag in candidates if owners[tag] == label][:max_tags]
    ]
    return queries, sum(owner is None for owner in owners.values())


def _owner(tag: str, claimants: Sequence[int], own: Sequence[str]) -> int | None:
    if len(claimants) == 1:
        return claimants[0]
    named = [label for label in claimants if own[label] == tag]
    return named[0] if len(named) == 1 else None


def hashtags(name: str) -> list[str]:
    """Tags of one class, the name itself first, then those that differ in fewer words.

    >>> hashtags("catching a fish")[:6]
    ['catchingafish', 'catchafish', 'catchingfish', 'catchingfishes', 'catchfish', 'fishcatching']
    """
    words = words_of(name)
    core = words_of(re.sub(r"[(\[].*?[)\]]", " ", name)) or words
    tags = [_joined(words)]
    if ARTICLES & set(core):  # the verb's forms around "a fish", which has no other number
        tags += map(_joined, itertools.product(*_forms(core, is_counted=False)))
    content = [part for word in core if word not in ARTICLES for part in parts_of_compound(word)] or core
    forms = _forms(content)
    orders = itertools.permutations(range(len(content))) if len(content) <= MAX_PERMUTED else [range(len(content))]
    choices = ((order, chosen) for order in orders for chosen in itertools.product(*forms))
    by_likeness = sorted(choices, key=lambda choice: _distance(choice[0], choice[1], content))
    tags += [_joined(chosen[index] for index in order) for order, chosen in by_likeness]
    return list(dict.fromkeys(tag for tag in tags if tag))


def words_of(name: str) -> list[str]:
    """Words of letters, marks and digits of any script, case folded.

    >>> words_of("Massaging person's head"), words_of("TaiChi"), words_of("pull-ups 2x")
    (['massaging', 'persons', 'head'], ['tai', 'chi'], ['pull', 'ups', '2x'])
    """
    text = unicodedata.normalize("NFKC", bare_name(name)).casefold()
    text = re.sub(r"['’]", "", unicodedata.normalize("NFKC", text))
    spaced = "".join(letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in text).split()
    bare = ("".join(itertools.dropwhile(unicodedata.combining, word)) for word in spaced)  # a mark needs its letter
    return [word for word in bare if word]


def _joined(words: Iterable[str]) -> str:
    return unicodedata.normalize("NFKC", "".join(words))


def _distance(order: Sequence[int], chosen: Sequence[str], words: Sequence[str]) -> tuple[int, tuple[int, ...]]:
    """Words that have another form, one more for another order."""
    changed = sum(form != word for form, word in zip(chosen, words, strict=True))
    return changed + (list(order) != sorted(order)), tuple(order)


def _forms(words: Sequence[str], *, is_counted: bool = True) -> list[list[str]]:
    """The forms of each word by its part in the phrase, its own first (A.1: "with and without canonicalization")."""
    has_ing = any(base_of_ing(word) for word in words)
    forms = []
    for index, word in enumerate(words):
        found = [word]
        base = base_of_ing(word)
        is_last_noun = index + 1 == len(words) or words[index + 1] in LINKS or bool(base_of_ing(words[index + 1]))
        if word in LINKS or word in ARTICLES or not word.isascii():
            pass
        elif base:
            found.append(base)
        else:
            if index == 0 and not has_ing:
                found += _ing_of(word)
            if is_counted and is_last_noun:
                found += _numbers_of(word)
        forms.append([form for form in dict.fromkeys(found) if form == word or form.isalnum()])
    return forms


def product_names(verbs: Sequence[str], nouns: Sequence[str]) -> list[str]:
    """The labels of IG-Verb+Noun: every verb with every noun, "the canonicalized forms" of both (IG-65M A.1).

    >>> product_names(["burning", "catch"], ["candles"])
    ['burn candle', 'catch candle']
    """
    first = dict.fromkeys(base_of_ing(verb.strip().casefold()) or verb.strip() for verb in verbs)
    second = dict.fromkeys(_singular(noun) for noun in nouns)
    return [f"{verb} {noun}" for verb in first for noun in second]


def nested_subset(names: Sequence[str], count: int, seed: int) -> list[str]:
    """So many of the names, in their order, by hash: a smaller subset is part of a larger one (IG-65M Sec. 4.2.2)."""
    drawn = sorted(names, key=lambda name: (keyed_seed(seed, "queries", normalise_class(name)), name))[:count]
    chosen = set(drawn)
    return [name for name in names if name in chosen]


def parts_of_compound(word: str) -> list[str]:
    """A noun and an -ing form that are written as one word and are no verb of the dictionary; else the word.

    >>> parts_of_compound("beekeeping"), parts_of_compound("skateboarding"), parts_of_compound("archery")
    (['bee', 'keeping'], ['skateboarding'], ['archery'])
    """
    start = _start_of_ing(word)
    is_compound = start > 0 and bool(getAllLemmas(word[:start], "NOUN").get("NOUN", ()))
    return [word[:start], word[start:]] if is_compound else [word]


@lru_cache(maxsize=1 << 14)
def base_of_ing(word: str) -> str | None:
    """The verb of an -ing form; of a compound that no dictionary has, by its end. None if it is none.

    >>> base_of_ing("catching"), base_of_ing("beekeeping"), base_of_ing("snowkiting"), base_of_ing("offspring")
    ('catch', 'beekeep', 'snowkite', None)
    """
    start = _start_of_ing(word)
    if start < 0:
        return None
    verb = getAllLemmas(word[start:], "VERB")["VERB"][0]
    return word[:start] + verb if verb != word[start:] else None


def _start_of_ing(word: str) -> int:
    """Where the verb of an -ing form begins: 0, or inside a compound; -1 for other words."""
    if not (word.isascii() and word.endswith(ING)):
        return -1
    starts = (0, *range(MIN_FRONT, len(word) - len(ING) - MIN_STEM + 1))
    return next((start for start in starts if getAllLemmas(word[start:], "VERB").get("VERB")), -1)


def _singular(noun: str) -> str:
    """The dictionary form of the last word of a noun."""
    *front, last = noun.strip().split() or [""]
    lemmas = getAllLemmas(last.casefold(), "NOUN").get("NOUN", ())
    return " ".join([*front, lemmas[0] if lemmas else last])


@lru_cache(maxsize=1 << 14)
def _ing_of(verb: str) -> tuple[str, ...]:
    """The -ing form of a word that is a verb's dictionary form."""
    is_verb = verb in getAllLemmas(verb, "VERB").get("VERB", ())
    return tuple(getInflection(verb, "VBG", inflect_oov=False)) if is_verb else ()


@lru_cache(maxsize=1 << 14)
def _numbers_of(noun: str) -> list[str]:
    """Singular and plural of a noun that the dictionary has.

    >>> _numbers_of("candle"), _numbers_of("feet"), _numbers_of("archery"), _numbers_of("tai")
    (['candle', 'candles'], ['foot', 'feet'], ['archery'], [])
    """
    singulars = getAllLemmas(noun, "NOUN").get("NOUN", ())
    plurals = [plural for one in singulars for plural in getInflection(one, "NNS", inflect_oov=False)]
    return list(dict.fromkeys([*singulars, *plurals]))
