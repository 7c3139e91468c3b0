"""American spellings and what they are in Britain: the text step `uk_spelling`.

The table is this file. It holds words that are spelled otherwise and nothing else: no other words for the same thing
(sidewalk), and none whose British spelling depends on the meaning (program, check, meter, tire, license, practice,
story, draft, curb, disk, analog). -ise is written where Britain has both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple


class Family(NamedTuple):
    """Words that differ in one place: stem + `american` + ending becomes stem + `british` + ending."""

    american: str
    british: str
    stems: str
    endings: str


# "-" among the endings is none at all.
FAMILIES: Sequence[Family] = (
    Family(
        "or",
        "our",
        "ard arm behavi belab cand clam col demean discol disfav dishon enam endeav fav ferv flav glam harb hon "
        "hum lab misbehavi misdemean multicol neighb od parl ranc rig rum sav savi splend succ tricol tum unfav "
        "unsav val vap vig watercol",
        "- s ed ing ings er ers able ably ful fully less ly y",
    ),
    Family("or", "our", "fav", "ite ites itism"),
    Family("or", "our", "behavi", "al ally ism ist ists"),
    Family("or", "our", "neighb", "hood hoods liness"),
    Family("or", "our", "col", "ist ists fast blind"),
    Family("or", "our", "arm hon", "ies ee ees"),
    Family("er", "re", "cent theat fib lit lust kilomet centimet millimet nanomet calib spect scept epicent amphitheat "
           "lacklust sepulch sab millilit decilit centilit goit louv mit saltpet reconnoit", "- s"),
    Family("ered", "red", "cent lust sepulch", "-"),
    Family("ering", "ring", "cent", "-"),
    Family("er", "re", "meag somb och", "- ly ness"),
    Family("erpiece", "repiece", "cent", "- s"),
    Family("erglass", "reglass", "fib", "-"),
    Family("ergoer", "regoer", "theat", "- s"),
    Family(
        "iz",
        "is",
        "accessor acclimat actual agon alphabet amort antagon apolog appet author bapt brutal burglar cannibal "
        "canon capital caramel categor cauter central character civil collectiv colon commercial computer "
        "conceptual contextual criminal critic crystall custom decentral decriminal dehuman dehumid demilitar "
        "democrat demon demoral deodor deput desensit destabil digit disorgan dramat econom emot empath emphas "
        "energ equal eternal familiar fantas fertil final formal fossil fratern galvan general glamor global "
        "harmon homogen hospital human hybrid hypnot hypothes ideal idol immobil immortal immun incentiv "
        "individual industrial initial institutional internal international ion italic item jeopard legal legitim "
        "liberal lion local magnet marginal material maxim mechan memor memorial mesmer metabol method militar "
        "miniatur minim mobil modern modular monetar monopol moral motor national natural neutral normal optim "
        "organ ostrac overemphas oxid parameter particular pasteur patron penal personal philosoph plagiar polar "
        "polit popular pressur priorit privat professional public pulver quant radical random rational real recogn "
        "regular reorgan revital revolution romantic sanit satir scandal scrutin secular sensit serial social "
        "solemn special stabil standard steril stigmat subsid summar symbol sympath synchron synthes systemat "
        "tantal temporal tender terror theor token traumat trivial tyrann unauthor uncivil union unorgan unrecogn "
        "urban util vandal vapor verbal victim visual vocal vulcan weapon western woman",
        "e ed es ing er ers able ation ations ational",
    ),
    Family("tranquiliz", "tranquillis", "-", "e ed es ing er ers"),
    Family("yz", "ys", "anal paral catal electrol hydrol dial psychoanal overanal reanal", "e ed es ing er ers"),
    Family("og", "ogue", "catal dial monol epil travel", "- s"),
    Family("oged", "ogued", "catal", "-"),
    Family("oging", "oguing", "catal", "-"),
    Family("ense", "ence", "def off pret", "- s less"),
    Family(
        "l",
        "ll",
        "trave cance mode labe leve signa tota fue dia channe counse marve quarre riva shove snorke tunne unrave due "
        "equa initia jewe libe peda penci trowe yode chise beve barre grove pane reve rave shrive spira stenci swive "
        "towe bedevi cudge disheve drive ename funne gambo imperi parce pumme squirre caro remode relabe mislabe "
        "backpeda refue victua snive wease marsha tria unequa unriva disembowe bejewe grave",
        "ed ing ings er ers or ors",
    ),
    Family("l", "ll", "marve libe", "ous ously"),
    Family("l", "ll", "woo", "en ens"),
    Family("l", "ll", "crue", "er est"),
    Family("l", "ll", "pane", "ist ists"),
    Family("l", "ll", "counci", "or ors"),
    Family("lry", "llery", "jewe", "-"),
    Family("lity", "llity", "tranqui", "-"),
    Family("lingly", "llingly", "grue unrave", "-"),
    Family("ling", "lling", "grue", "-"),
    Family("ll", "l", "fulfi enro disti insti enthra appa", "- s ment ments"),
    Family("llment", "lment", "insta", "- s"),
    Family("llful", "lful", "ski wi", "- ly ness"),
    Family("ped", "pped", "worshi kidna", "-"),
    Family("ping", "pping", "worshi kidna", "-"),
    Family("per", "pper", "worshi kidna", "- s"),
    Family("em", "aem", "leuk ur tox septic isch hypoglyc hyperglyc bacter vir an", "ia ic ias"),
    Family("esthe", "aesthe", "an syn", "sia tic tics tist tists siologist siologists siology"),
    Family("esthet", "aesthet", "-", "ic ics ically"),
    Family("anesthetiz", "anaesthetis", "-", "e ed es ing"),
    Family("eolog", "aeolog", "arch", "y ist ists ical ically"),
    Family("pale", "palae", "-", "ontology ontologist ontologists olithic"),
    Family("pedi", "paedi", "-", "atric atrics atrician atricians"),
    Family("pedo", "paedo", "-", "phile philes philia"),
    Family("orthoped", "orthopaed", "-", "ic ics ist ists"),
    Family("gynec", "gynaec", "-", "ology ologist ologists ological"),
    Family("hem", "haem", "-", "oglobin ophilia ophiliac ophiliacs orrhage orrhages orrhaged orrhaging orrhoid "
           "orrhoids atology atologist atoma atomas ostasis odialysis"),
    Family("fec", "faec", "-", "es al"),
    Family("cesarean", "caesarean", "-", "- s"),
    Family("diarrhea", "diarrhoea", "-", "- l"),
    Family("edema", "oedema", "-", "- s"),
    Family("esophag", "oesophag", "-", "us eal"),
    Family("estrogen", "oestrogen", "-", "- s ic"),
    Family("celiac", "coeliac", "-", "-"),
    Family("pnea", "pnoea", "dys a", "-"),
    Family("ameb", "amoeb", "-", "a as ic"),
    Family("maneuver", "manoeuvr", "- out", "ed ing ings able ability"),
    Family("maneuver", "manoeuvre", "- out", "- s"),
    Family("mold", "mould", "- re", "- s ed ing ings y ier"),
    Family("molt", "moult", "-", "- s ed ing"),
    Family("plow", "plough", "- snow", "- s ed ing man men share"),
    Family("smolder", "smoulder", "-", "- s ed ing"),
    Family("pajama", "pyjama", "-", "- s"),
    Family("coz", "cos", "-", "y ily iness ier iest ies"),
    Family("skeptic", "sceptic", "-", "- s al ally ism"),
    Family("mustache", "moustache", "-", "- s d"),
    Family("aluminum", "aluminium", "-", "-"),
    Family("airplane", "aeroplane", "-", "- s"),
    Family("artifact", "artefact", "-", "- s"),
    Family("donut", "doughnut", "-", "- s"),
    Family("checkered", "chequered", "-", "-"),
    Family("licorice", "liquorice", "-", "-"),
    Family("omelet", "omelette", "-", "- s"),
    Family("chili", "chilli", "-", "- es s"),
    Family("furor", "furore", "-", "- s"),
    Family("carburetor", "carburettor", "-", "- s"),
    Family("draft", "draught", "-", "sman smen y"),
    Family("mollusk", "mollusc", "-", "- s"),
    Family("gray", "grey", "-", "- s ed ing er est ish ness"),
    Family("ging", "geing", "a", "-"),
    Family("k", "ke", "li", "able ability"),
    Family("acknowledgment", "acknowledgement", "-", "- s"),
    Family("behoove", "behove", "-", "- s d"),
    Family("ax", "axe", "-", "-"),
    Family("czar", "tsar", "-", "- s"),
)  # fmt: skip
_ALSO_NAMES = frozenset({"gray", "grays", "molt", "ax", "cozy"})  # capitalised they are somebody's
# What is read as a whole and left: addresses, names of programs' things, and the Latin that is no American.
_TOKEN = re.compile(
    r"(?:https?://|www\.)\S+|\S+@\S+|[^\W\d_]*[\d_]\w*|rigor mortis|[^\W\d_]+", re.IGNORECASE
)  # fmt: skip

_LOOKED_BACK = 60
# What stands before the first word of a sentence: its opening marks, and before these the end of a line or sentence,
# which is no full stop of a title or of an initial.
_SENTENCE_ENDS = re.compile(
    r"""(?:[\n\r]|[!?\u2026:]|(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bMt)(?<!\bFt)(?<!\b[A-Z])\.|\A)"""
    r"""[\s"'\u2018-\u201f\u00ab\u00bb(\[{*_#>\u2022\u2013\u2014-]*\Z"""
)
_CAPITALISED_NEXT = re.compile(r"(?:'s|\u2019s)?[^\S\n]+(?=[^\W\d_]*[a-z])[A-Z]\w*")


@lru_cache(maxsize=1)
def british_words() -> Mapping[str, str]:
    """Every American spelling of the table, in lower case, with the British one.

    >>> british_words()["colorful"], british_words().get("program")
    ('colourful', None)
    """
    found = {}
    for family in FAMILIES:
        for stem in _pieces(family.stems):
            for ending in _pieces(family.endings):
                found[stem + family.american + ending] = stem + family.british + ending
    return found


def to_british(text: str, changed: list[tuple[str, str]] | None = None) -> str:
    """The text with British spellings, in the case they were written in; other text stays as it is, byte for byte.

    `changed` is told each (from, to) in lower case. A word in mixed case, with a digit or an underscore in it, or in an
    address is left. So is a capitalised word that may be a name (Pearl Harbor, Harbor Freight): one inside a sentence,
    or one that begins a sentence before another capitalised word. What is left to be a name is a sentence's first word
    alone, and what is written in capitals throughout.

    >>> to_british("The COLOR of Gray's neighbors at Pearl Harbor. Colors; see www.color.com")
    "The COLOUR of Gray's neighbours at Pearl Harbor. Colours; see www.color.com"
    """

    def respelled(match: re.Match[str]) -> str:
        word = match[0]
        plain = word.lower()
        spelled = british_words().get(plain)
        if spelled is None:
            return word
        if word == plain:
            made = spelled
        elif word == plain.upper():
            made = spelled.upper()
        elif word == plain.capitalize() and plain not in _ALSO_NAMES and _only_begins(match):
            made = spelled.capitalize()
        else:
            return word
        if changed is not None:
            changed.append((plain, spelled))
        return made

    return _TOKEN.sub(respelled, text)


def _only_begins(word: re.Match[str]) -> bool:
    """Whether a capitalised word has its capital because a sentence, a line or a cell begins with it."""
    text, start, end = word.string, word.start(), word.end()
    begins = start == 0 or _SENTENCE_ENDS.search(text, max(0, start - _LOOKED_BACK), start) is not None
    return begins and _CAPITALISED_NEXT.match(text, end) is None


def _pieces(written: str) -> list[str]:
    return ["" if piece == "-" else piece for piece in written.split()]
