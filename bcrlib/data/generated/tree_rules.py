"""The grammar of the embedded treebank, as data: a dependency grammar of simple English.

A rule is ``weight  items...``; one rule of a symbol is drawn in proportion to the weights. Of its items
exactly one is the head, and each of the others hangs on a word:

    ^X          the head; the form and the role of the symbol are handed down to it
    nsubj:X     a dependent of the head, with that relation
    ~X          floats: hangs on the head OR on any other word still open here; the words decide which
    %X          displaced: as ~X, but across what lies between: before the head, fronted (may belong to
                a complement clause further right); after it, extraposed (may belong to the subject)
    X.past      X in that form (past, base, participle, sg, pl; ``.=`` the form of the whole)
    X/food      X in that role: a meaning class or a mixture of them (ROLES)
    X?0.3       X with probability 0.3, otherwise nothing
    X!          an island: nothing inside X may float out of it

Where a symbol has no rule, it is a word: of an open class (OPEN) or of a closed one (lexicon_words.CLOSED).
"""

from dataclasses import dataclass

GRAMMAR = """
SENTENCE
    66  ^CLAUSE punct:STOP
     4  ^CLAUSE conj:ANOTHER! punct:STOP
     6  ^QUESTION punct:QUESTION_MARK
     4  ^VP.base punct:STOP
    11  ^NP/any punct:STOP?0.6
     3  ^INTJ punct:STOP

ANOTHER
    70  punct:COMMA cc:AND ^SIMPLE
    30  punct:COMMA ^SIMPLE

CLAUSE
    66  ^SIMPLE
    17  %PP punct:COMMA ^SIMPLE
     6  advcl:ADVCL punct:COMMA ^SIMPLE
     6  advmod:ADV/when punct:COMMA ^SIMPLE

SIMPLE
    64  nsubj:SUBJECT ^PREDICATE
     7  nsubj:TOPIC.sg cop:WAS.sg ^PROPERTY.sg
     4  nsubj:TOPIC.pl cop:WAS.pl ^PROPERTY.pl
     5  nsubj:pass:NX.sg/handled aux:pass:WAS.sg ^PASSIVE.participle
     3  nsubj:pass:NX.pl/handled aux:pass:WAS.pl ^PASSIVE.participle
    14  nsubj:NX.sg/agent ^V.past/appear advmod:ADV/when?0.5 obl:PLAIN_PP?0.5 %RELATIVE_CLAUSE?0.9
     2  expl:THERE ^EXIST.sg nsubj:NX.sg/any
     1  expl:THERE ^EXIST.pl nsubj:NX.pl/any

QUESTION
    40  aux:DID nsubj:SUBJECT ^VP.base
    40  %WHY aux:DID nsubj:SUBJECT ^VP.base
    20  obj:WHAT aux:DID nsubj:SUBJECT ^TAKING.base

SUBJECT
    50  ^NP/agent
    38  ^PRON/subject
    12  ^NAME/name

TOPIC
    60  ^NX/any
    40  ^PRON/subject

PREDICATE
    64  advmod:ADV/often?0.09 ^VP.past
    17  aux:MODAL advmod:ADV/often?0.04 ^VP.base
     8  aux:HAD ^VP.participle
     7  aux:DID advmod:NOT ^VP.base

VP
     1  ^FRAME ~ADV/how?0.14 ~PP?0.42 ~PP?0.17 ~PURPOSE?0.04 ~ADV/when?0.06 ~ADVCL?0.03 ~AND_VP.=?0.05

FRAME
    15  ^V/perceive obj:OBJECT/visible
     8  ^V/consume obj:NP/food
    16  ^V/handle obj:OBJECT/handled
     9  ^V/make obj:NP/made
    12  ^V/social obj:OBJECT/agent
     7  ^V/transfer iobj:RECEIVER obj:NP/made
     7  ^V/say ccomp:CONTENT
     4  ^V/think ccomp:CONTENT
     5  ^V/decide xcomp:INFINITIVE
    11  ^V/move
    10  ^V/rest

TAKING
     3  ^V/perceive
     2  ^V/consume
     2  ^V/make

PASSIVE
     3  ^V/handle ~PP?0.5 ~ADV/how?0.15
     2  ^V/make ~PP?0.5 ~ADVCL?0.1

PLAIN_PP
     1  case:ADP/where ^PLAIN.sg/place

PLAIN
     1  det:DET.= ^NOUN

PROPERTY
     7  ^ADJP ~PP?0.3 ~ADVCL?0.12
     3  ^NX/person

CONTENT
     6  mark:THAT nsubj:SUBJECT ^PREDICATE
     4  nsubj:SUBJECT ^PREDICATE

INFINITIVE
     1  mark:TO ^VP.base

OBJECT
    85  ^NP
    15  ^PRON/object

RECEIVER
    50  ^PRON/object
    20  ^NAME/name
    30  det:DET.sg ^NOUN.sg/person

NP
    58  ^NX.sg
    32  ^NX.pl
     4  nummod:NUM ^NBAR.pl
     3  ^PLAIN.sg conj:LISTED ~AND_NP

LISTED
     1  punct:COMMA ^NX.sg/any

NX
    80  det:DET.= ^NBAR ~PP?0.11 ~RELATIVE_CLAUSE?0.035 ~AND_NP?0.05
    20  nmod:poss:POSSESSOR ^NBAR ~PP?0.06 ~AND_NP?0.05

NBAR
    58  ^NOUN
    12  ~ADJP ^NOUN
     4  ~COMPOUND ^NOUN
    13  ~ADJP ~COMPOUND ^NOUN
    10  ~COMPOUND ~COMPOUND ^NOUN
     3  ~ADJP ~COMPOUND ~COMPOUND ^NOUN

COMPOUND
     1  ^NOUN.sg/modifier

AND_ADJ
     1  cc:AND ^ADJ/adjective

ADJP
    82  ^ADJ/adjective
    12  advmod:ADV/degree ^ADJ/adjective
     6  ^ADJ/adjective conj:AND_ADJ

PP
    27  case:ADP/where ^NP/place
    15  case:ADP/with ^NP/with
    15  case:ADP/of ^NP/any
    13  case:ADP/when ^NP/occasion
    10  case:ADP/about ^NP/about
     9  case:ADP/whom ^NP/agent
    11  case:ADP/whence ^NP/place

RELATIVE_CLAUSE
    70  nsubj:RELATIVE ^PREDICATE
    30  obj:RELATIVE nsubj:SUBJECT ^TAKING.past

ADVCL
     1  mark:SUBORDINATOR nsubj:SUBJECT ^PREDICATE

PURPOSE
     1  mark:TO ^VP.base

AND_NP
    85  cc:AND ^NP/any
    15  cc:AND ^NAME/name

AND_VP
     1  cc:AND ^VP
"""

# Open classes: the UPOS of the symbol's words.
OPEN = {"NOUN": "NOUN", "V": "VERB", "ADJ": "ADJ", "ADV": "ADV", "NAME": "PROPN"}

# Roles: mixtures of meaning classes.
ROLES = {
    "agent": {"person": 70, "animal": 18, "group": 12},
    "visible": {"person": 24, "animal": 18, "thing": 22, "vehicle": 14, "place": 12, "event": 10},
    "handled": {"thing": 34, "tool": 30, "vehicle": 16, "feature": 12, "food": 8},
    "made": {"thing": 40, "idea": 26, "tool": 14, "food": 12, "vehicle": 8},
    "with": {"tool": 34, "feature": 28, "person": 20, "thing": 10, "animal": 8},
    "occasion": {"event": 58, "time": 42},
    "about": {"idea": 44, "event": 26, "person": 18, "thing": 12},
    "modifier": {"place": 24, "animal": 14, "food": 14, "vehicle": 14, "group": 12, "event": 12, "thing": 10},
    "any": {
        "person": 22,
        "idea": 16,
        "thing": 14,
        "place": 12,
        "group": 10,
        "food": 8,
        "event": 10,
        "animal": 8,
    },
    "adjective": {"size": 24, "age": 20, "quality": 20, "colour": 14, "mood": 14, "matter": 8},
}


@dataclass(frozen=True)
class Attachment:
    """What a floating symbol may hang on: the relation by the head's UPOS; `link` is whose taste decides."""

    relations: dict[str, str]
    link: str | None = None  # None: the first word of the phrase ("with", "because", "and") is the link


NOMINAL, VERBAL = ("NOUN", "PROPN"), ("VERB", "ADJ")
ATTACHMENTS = {
    "PP": Attachment(dict.fromkeys(NOMINAL, "nmod") | dict.fromkeys(VERBAL, "obl")),
    "ADV": Attachment(dict.fromkeys(VERBAL, "advmod"), link="adverb"),
    "WHY": Attachment({"VERB": "advmod"}),
    "ADVCL": Attachment(dict.fromkeys(VERBAL, "advcl")),
    "PURPOSE": Attachment({"VERB": "advcl", "NOUN": "acl"}, link="purpose"),
    "RELATIVE_CLAUSE": Attachment(dict.fromkeys(NOMINAL, "acl:relcl")),
    "AND_NP": Attachment(dict.fromkeys(NOMINAL, "conj")),
    "AND_VP": Attachment({"VERB": "conj"}),
    "ADJP": Attachment({"NOUN": "amod"}, link="adjective"),
    "COMPOUND": Attachment({"NOUN": "compound"}, link="compound"),
}

# Tastes of every speaker, added to those of the words: (link, UPOS or class of the head) -> bonus.
SHARED_TASTES = {
    ("of", "NOUN"): 3.0,
    ("who", "person"): 3.0,
    ("which", "person"): -2.0,
    ("during", "VERB"): 1.5,
    ("to", "VERB"): 1.0,
    ("into", "VERB"): 2.0,
    ("by", "VERB"): 1.0,
    ("about", "idea"): 1.5,
    ("about", "say"): 1.5,
}
