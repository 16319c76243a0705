"""The words of the embedded utterances, by symbol of `frame_rules`; listed by hand or invented, from no text.

Each list runs from the frequent to the rare; an entry may have several words ("book fair").
"""

from bcrlib.data.generated.lexicon import inflect

OCCASION = (
    "concert, party, festival, football match, wedding, book fair, parade, jazz night, food market, exhibition, "
    "play, quiz night, marathon, flea market, magic show, poetry reading, meeting, film night, bake sale, ballet, "
    "chess tournament, regatta, lantern walk, wine tasting, pottery workshop, puppet theatre, boat race, kite contest, "
    "harvest supper, barn dance"
)

WORDS = {
    "OCCASION": OCCASION,
    "OCCASIONS": ", ".join(inflect(occasion, "NOUN")["pl"] for occasion in OCCASION.split(", ")),
    "ATTRIBUTE": "free, live, outdoor, family, cheap, indoor, open air, charity, local, evening, amateur, silent",
    "SHOP": "pharmacy, petrol station, supermarket, car park, hospital, library, cinema, bakery, post office, museum, "
    "swimming pool, bank, gym, cafe, police station, garage, bookshop, florist, dentist, launderette, campsite, "
    "ferry terminal, ice rink, zoo",
    "RELATIVE": "sister, brother, boss, friend, aunt, grandmother, uncle, cousin, neighbour, landlord, godson",
    "HOUR": "7, 8, 6, 9, 5, 10, 3, 4, 2, 11, 1, 12",
    "NUMBER": "ten, twenty, five, thirty, fifteen, forty, fifty",
    "DAY": "Saturday, Friday, Sunday, Monday, Wednesday, Thursday, Tuesday",
    "DAYTIME": "tonight, tomorrow, now, this weekend, this evening, today, this afternoon, right now, next week, "
    "later, tomorrow morning, soon, after lunch, this month, before breakfast, over Easter, next summer",
    "VEHICLE": "car, bus, train, bike, tram, taxi, ferry, scooter, motorbike, cable car",
    "OBSTACLE": "tolls, motorways, the tunnel, roadworks, the bridge, bumpy roads, the old town, steep hills",
    "JAM": "traffic, a jam, an accident, a queue, a road closure, a detour, a breakdown",
    "BEST": "fastest, best, shortest, quickest, easiest, safest, prettiest, cheapest",
    "POLITE": "please, hey, ok, hello, sorry, quick question, well, right",
    "TITLE_BEGIN": "Blue, Silver, Winter, Golden, Lucky, Wild, Little, Crystal, Midnight, Velvet, Ruby, Paper, Hidden, "
    "Copper, Dancing, Lunar, Marble, Twisted, Scarlet, Seventh",
    "TITLE_END": "Garden, Lantern, Fields, Nights, Circus, Mile, Harvest, Stage, Grove, Parade, Arena, Carousel, Pier, "
    "Revue",
    "STREET": "Elm, Cedar, Abbey, Market, Queen, Station, Chapel, Victoria, Orchard, Bishop, Temple, Forge, Linden, "
    "Castle, Mercer, Poplar, Tanner, Juniper, Granary, Falcon",
    "STREET_KIND": "Street, Road, Lane, Avenue, Highway, Hill, Crescent, Causeway",
}

# Invented names: any beginning with any ending. They are the long tail of the corpus.
NAMES = {
    "TOWN": (
        "Oak Mill Ash Brook Stone Kings Fair Red North Wal Hart Green Thorn Lang Win Elder Marl Swan Cold Hazel",
        "dale ford bury ton field wick mere combe stead haven port worth bridge leigh minster by",
    ),
    "PERSON": (
        "Mar Ros El Hel Jon Ben Car Lin Tor Vic Sam Nor Dor Kat Per Gil Os Al",
        "a en ina ard ette win o la mund is ric ley",
    ),
}
