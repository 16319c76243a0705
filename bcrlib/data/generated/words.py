"""The words of the embedded treebank, by part of speech and meaning class; listed by hand, from no text.

A class is what the grammar knows about meaning: who can be an agent, what can be eaten, which verb likes
which preposition. Inflected forms follow the spelling rules of `lexicon.inflect`; exceptions stand after
slashes: a noun's plural (``mouse/mice``), a verb's past and participle (``see/saw/seen``).
"""

NOUNS = {
    "person": "teacher farmer doctor neighbour student lawyer artist child/children king soldier nurse "
    "driver baker sailor writer guest singer clerk engineer uncle",
    "group": "team family company committee club crew choir council union band",
    "animal": "dog horse cat bird cow sheep/sheep mouse/mice wolf/wolves rabbit duck goat bear fox donkey",
    "tool": "telescope hammer knife/knives rope camera ladder needle brush lamp key pencil shovel axe spoon",
    "place": "garden house school village market river station forest office island church kitchen beach "
    "bridge museum street",
    "food": "bread apple soup cheese cake salad potato/potatoes egg fish/fish pie sausage melon",
    "vehicle": "car boat train bicycle truck plane cart ship bus wagon",
    "thing": "letter book box picture coat table map bottle newspaper chair bag coin ring clock",
    "event": "meeting wedding storm war concert trip lesson race election strike festival accident",
    "idea": "plan story problem reason question rumour theory promise law secret price rule answer",
    "time": "morning week summer night year evening winter day month weekend",
    "feature": "hat scar smile beard voice shadow tail handle wheel roof window door",
}

VERBS = {
    "perceive": "see/saw/seen watch hear/heard/heard notice find/found/found observe photograph "
    "recognise spot/spotted/spotted",
    "consume": "eat/ate/eaten cook taste buy/bought/bought sell/sold/sold share devour order",
    "handle": "open carry break/broke/broken hold/held/held move touch drop/dropped/dropped clean repair "
    "steal/stole/stolen burn lift",
    "make": "build/built/built paint write/wrote/written draw/drew/drawn design produce invent sketch copy",
    "social": "meet/met/met help visit love follow thank blame marry admire invite warn",
    "transfer": "give/gave/given send/sent/sent show/showed/shown offer lend/lent/lent hand promise mail",
    "say": "say/said/said claim report explain announce declare admit/admitted/admitted mention",
    "think": "think/thought/thought know/knew/known believe hope guess doubt imagine suspect",
    "decide": "decide want try refuse intend threaten agree hesitate manage",
    "move": "walk run/ran/run go/went/gone travel drive/drove/driven climb hurry swim/swam/swum sail march",
    "rest": "sleep/slept/slept laugh wait sing/sang/sung work play cry smile pray dance",
    "appear": "arrive appear come/came/come enter emerge return vanish",
}

ADJECTIVES = {
    "size": "big small tall long short huge tiny wide heavy narrow",
    "colour": "red green blue white black yellow brown pale dark bright",
    "age": "old new young ancient modern fresh late early recent",
    "quality": "good bad cheap famous strange beautiful useful rare dirty broken",
    "mood": "happy sad angry quiet proud nervous polite lazy brave calm",
    "matter": "wooden golden metal plastic wet dry soft cold warm sharp",
}

ADVERBS = {
    "when": "yesterday today again later soon early then recently tonight finally",
    "often": "often never always sometimes usually rarely still also",
    "how": "quickly slowly carefully quietly badly loudly happily gently well together secretly proudly "
    "angrily nervously politely lazily bravely calmly sadly strangely",
    "degree": "very so rather quite too extremely",
}

# Invented names of people: any beginning with any ending.
NAME_BEGINNINGS = "Mar Ros Ed Al Hel Jon Ben Car Lin Tor Vic Wil Sam Nor Dor Kat Per Gil Har Os"
NAME_ENDINGS = "a en ina ard win ton is ette o la mund ric"

# The long tail: a prefix makes a rarer word of the same class out of a common one.
PREFIXES = {
    "NOUN": "mini- super- pseudo- half- mega- neo- semi- counter- proto- quasi-",
    "VERB": "re- over- out- mis- half- co- pre- counter-",
    "ADJ": "un- semi- ultra- non- quasi- hyper- half-",
    "ADV": "un- semi- ultra- half- over-",
}

# Closed classes: UPOS, then each word with its weight. The key is the grammar's name for the slot.
CLOSED = {
    "DET.sg": ("DET", "the:46 a:38 this:5 that:3 every:4 no:2 another:2"),
    "DET.pl": ("DET", "the:50 these:8 those:5 some:15 many:9 all:5 several:6"),
    "POSSESSOR": ("PRON", "my:20 his:26 her:20 our:12 their:16 your:6"),
    "NUM": ("NUM", "two:40 three:25 four:12 five:8 six:5 ten:6 twelve:3 hundred:1"),
    "PRON/subject": ("PRON", "I:20 he:24 she:22 they:14 we:12 you:8"),
    "PRON.sg/subject": ("PRON", "he:30 she:30 it:28 I:12"),
    "PRON.pl/subject": ("PRON", "they:45 we:35 you:20"),
    "PRON/object": ("PRON", "him:24 her:22 them:24 us:12 me:14 it:4"),
    "RELATIVE": ("PRON", "that:60 who:30 which:10"),
    "WHAT": ("PRON", "what:65 who:35"),
    "WHY": ("ADV", "why:36 when:26 where:24 how:14"),
    "THERE": ("PRON", "there:1"),
    "EXIST.sg": ("VERB", "was:1"),
    "EXIST.pl": ("VERB", "were:1"),
    "WAS.sg": ("AUX", "was:90 is:10"),
    "WAS.pl": ("AUX", "were:90 are:10"),
    "HAD": ("AUX", "had:1"),
    "DID": ("AUX", "did:1"),
    "MODAL": ("AUX", "will:28 would:22 can:18 could:16 should:9 must:7"),
    "NOT": ("PART", "not:1"),
    "TO": ("PART", "to:1"),
    "AND": ("CCONJ", "and:76 or:16 but:8"),
    "THAT": ("SCONJ", "that:1"),
    "SUBORDINATOR": ("SCONJ", "because:28 when:26 if:18 while:12 although:8 before:8"),
    "ADP/where": ("ADP", "in:36 at:18 on:14 near:12 behind:8 from:12"),
    "ADP/whence": ("ADP", "to:44 from:26 into:16 through:8 towards:6"),
    "ADP/with": ("ADP", "with:82 without:18"),
    "ADP/of": ("ADP", "of:1"),
    "ADP/when": ("ADP", "during:24 after:34 before:26 on:16"),
    "ADP/about": ("ADP", "about:64 against:18 for:18"),
    "ADP/whom": ("ADP", "for:48 by:22 to:20 like:10"),
    "INTJ": ("INTJ", "yes:24 no:20 thanks:26 hello:16 please:14"),
    "STOP": ("PUNCT", ".:88 !:9 ...:3"),
    "QUESTION_MARK": ("PUNCT", "?:1"),
    "COMMA": ("PUNCT", ",:1"),
}
