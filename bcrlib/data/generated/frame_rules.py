"""The grammar of the embedded utterances, as data: what people ask about ways and events, with its frames.

A rule is ``weight  items and brackets``; one rule of a symbol is drawn in proportion to the weights. Brackets are those
of frames, so that a rule without capitals reads like an utterance with its annotation. Beside brackets and words:

    X           a symbol: one of its rules stands here
    X?0.3       X with probability 0.3, otherwise nothing
    ~X          floats: X goes to any of the frames that the last word belongs to and that take it (FLOATING)
    [*          in X: the slot that the chosen frame has for X
    A | B       two readings of the same words: either may be the annotation

Where several frames or readings are possible, the annotation is open; `frame_grammar` says what decides. The rules
allow no other choice: the same words never come from two different derivations with different annotations.
"""

GRAMMAR = """
UTTERANCE
    26  DIRECTIONS
    24  EVENTS
    14  TRAFFIC
    12  DURATION
     8  DEPARTURE
     9  DISTANCE
     7  UPDATE

DIRECTIONS
    16  [IN:GET_DIRECTIONS POLITE?0.15 how do I get to TARGET TRIP ]
    12  [IN:GET_DIRECTIONS POLITE?0.1 directions to TARGET TRIP ]
     9  [IN:GET_DIRECTIONS POLITE?0.1 what is the BEST way to TARGET TRIP ]
     8  [IN:GET_DIRECTIONS POLITE?0.2 guide me to TARGET TRIP ]
     8  [IN:GET_DIRECTIONS POLITE?0.1 I have to be at TARGET TRIP ]
     7  [IN:GET_DIRECTIONS POLITE?0.2 find the BEST route from [SL:SOURCE PLACE ] to TARGET TRIP ]
     5  [IN:GET_DIRECTIONS which way is it from [SL:SOURCE PLACE ] to TARGET TRIP ]
     5  [IN:GET_DIRECTIONS POLITE?0.2 bring me [SL:DESTINATION [IN:GET_LOCATION_HOME home ] ] TRIP ]
     4  [IN:GET_DIRECTIONS is there a [SL:METHOD_TRAVEL VEHICLE ] to TARGET ~FROM?0.3 ~WHEN?0.5 ]
     3  [IN:GET_DIRECTIONS where is TARGET ]

EVENTS
    18  [IN:GET_EVENT POLITE?0.1 do you know of any KINDS PLACE_AND_TIME ]
    12  [IN:GET_EVENT POLITE?0.1 KINDS PLACE_AND_TIME ]
    12  [IN:GET_EVENT what is on ~WHERE?0.7 ~WHEN?0.8 ]
    10  [IN:GET_EVENT POLITE?0.2 look for a good KIND PLACE_AND_TIME ]
     8  [IN:GET_EVENT what is worth seeing ~WHEN?0.6 ~WHERE?0.7 ]
     7  [IN:GET_EVENT when does the KIND begin PLACE_AND_TIME ]
     6  [IN:GET_EVENT which KINDS can we see PLACE_AND_TIME ]
     7  [IN:GET_EVENT who plays at GIG ~WHEN?0.6 ]
     5  [IN:GET_EVENT when is [SL:NAME_EVENT TITLE ] PLACE_AND_TIME ]
     4  [IN:GET_EVENT are there tickets for [SL:NAME_EVENT TITLE ] PLACE_AND_TIME ]

TRAFFIC
    20  [IN:GET_INFO_TRAFFIC POLITE?0.1 is there JAM on the way to TARGET ~WHEN?0.4 ~ROUTE?0.2 ]
    12  [IN:GET_INFO_TRAFFIC POLITE?0.1 how thick is the traffic ~WHERE?0.7 ~WHEN?0.5 ]
    10  [IN:GET_INFO_TRAFFIC POLITE?0.1 how thick is the traffic ~ROUTE ~WHEN?0.4 ]
     8  [IN:GET_INFO_TRAFFIC will I run into JAM between [SL:SOURCE PLACE ] and TARGET ~WHEN?0.5 ]
     8  [IN:GET_INFO_TRAFFIC any news of JAM on [SL:LOCATION ROAD ] ~WHERE?0.4 ]
     8  [IN:GET_INFO_TRAFFIC HOW_IS_THE_DRIVE ] | [IN:GET_ESTIMATED_DURATION HOW_IS_THE_DRIVE ]

DURATION
    16  [IN:GET_ESTIMATED_DURATION POLITE?0.1 how long does it take to get to TARGET TRIP ]
    10  [IN:GET_ESTIMATED_DURATION how many minutes is it to TARGET TRIP ]
    10  [IN:GET_ESTIMATED_DURATION how long is the drive from [SL:SOURCE PLACE ] to TARGET TRIP ]
     6  [IN:GET_ESTIMATED_DURATION how soon can I be at TARGET TRIP ]

DEPARTURE
    14  [IN:GET_ESTIMATED_DEPARTURE POLITE?0.1 when should I leave for TARGET ~BEFORE?0.5 ~WHEN?0.3 ]
     8  [IN:GET_ESTIMATED_DEPARTURE what time must I set off from [SL:SOURCE PLACE ] to reach TARGET ~BEFORE?0.6 ]
     8  [IN:GET_ESTIMATED_DEPARTURE when does the next [SL:METHOD_TRAVEL VEHICLE ] to TARGET leave ]

DISTANCE
    14  [IN:GET_DISTANCE POLITE?0.1 how many miles is it to TARGET ~FROM?0.4 ~ROUTE?0.2 ]
    14  [IN:GET_DISTANCE HOW_FAR_IS_IT ] | [IN:GET_ESTIMATED_DURATION HOW_FAR_IS_IT ]
     8  [IN:GET_DISTANCE distance between [SL:SOURCE PLACE ] and TARGET ]

UPDATE
    10  [IN:UPDATE_DIRECTIONS POLITE?0.2 avoid [SL:PATH_AVOID OBSTACLE ] on the way to TARGET ~ROUTE?0.2 ]
     8  [IN:UPDATE_DIRECTIONS TAKE_THAT_ROAD ] | [IN:GET_DIRECTIONS TAKE_THAT_ROAD ]
     6  [IN:UPDATE_DIRECTIONS POLITE?0.2 change the route to TARGET ~ROUTE?0.5 ~AVOID?0.5 ]
     6  [IN:UPDATE_DIRECTIONS POLITE?0.2 go by [SL:METHOD_TRAVEL VEHICLE ] instead ~AVOID?0.6 ]

HOW_IS_THE_DRIVE
     1  how is the drive to TARGET ~WHEN?0.7

HOW_FAR_IS_IT
     6  how far is TARGET
     4  how far is TARGET ~FROM
     4  how far is it from [SL:SOURCE PLACE ] to TARGET

TAKE_THAT_ROAD
     1  take [SL:PATH ROAD ] to TARGET

TRIP
    24  ~FROM?0.15 ~WHEN?0.5 ~BY?0.15
    16  ~BY?0.25 ~ROUTE?0.4 ~WHEN?0.2
    14  ~BEFORE?0.7
    12  ~ROUTE?0.3 ~AVOID?0.5

PLACE_AND_TIME
    14  ~WHERE?0.6 ~WHEN?0.6
    10  ~WHEN?0.7 ~WHERE?0.6
     6  ~ROUTE?0.6 ~BEFORE?0.3

TARGET
    40  [SL:DESTINATION EVENT ]
    20  [SL:DESTINATION TOWN ]
    18  [SL:DESTINATION TITLE ] | [SL:DESTINATION [IN:GET_EVENT [SL:NAME_EVENT TITLE ] ] ]
    12  [SL:DESTINATION SPOT ]
    12  [SL:DESTINATION HOME ]

PLACE
    60  TOWN
    22  HOME
    18  SPOT

EVENT
    80  [IN:GET_EVENT the KIND ~WHERE?0.5 ]
    20  [IN:GET_EVENT my [SL:CONTACT RELATIVE ] 's KIND ~WHERE?0.3 ]

GIG
     1  [SL:NAME_EVENT TITLE ] | [SL:LOCATION TITLE ]

KIND
    65  [SL:CATEGORY_EVENT OCCASION ]
    35  [SL:ATTRIBUTE_EVENT ATTRIBUTE ] [SL:CATEGORY_EVENT OCCASION ] | [SL:CATEGORY_EVENT ATTRIBUTE OCCASION ]

KINDS
    65  [SL:CATEGORY_EVENT OCCASIONS ]
    35  [SL:ATTRIBUTE_EVENT ATTRIBUTE ] [SL:CATEGORY_EVENT OCCASIONS ] | [SL:CATEGORY_EVENT ATTRIBUTE OCCASIONS ]

SPOT
    60  [IN:GET_LOCATION the nearest [SL:CATEGORY_LOCATION SHOP ] ]
    40  [IN:GET_LOCATION the [SL:CATEGORY_LOCATION SHOP ] ~WHERE?0.7 ]

HOME
    60  [IN:GET_LOCATION_HOME [SL:CONTACT PERSON ] 's HOUSE ]
    40  [IN:GET_LOCATION_HOME my [SL:CONTACT RELATIVE ] 's HOUSE ]

HOUSE
     6  house
     4  place

ROAD
    80  STREET STREET_KIND
    20  route NUMBER

TITLE
     1  TITLE_BEGIN TITLE_END

WHERE
    32  in [* TOWN ]
    20  near [* TOWN ]
    18  near [* SPOT ]
    12  at [* TITLE ]
    18  at [* HOME ]

WHEN
    26  [* at CLOCK ]
    40  [* DAYTIME ]
    22  [* on DAY ]
     8  [* in NUMBER minutes ]
     6  [* DAYTIME at CLOCK ]

BEFORE
    60  [* by CLOCK ]
    40  [* before CLOCK ]

CLOCK
    50  HOUR pm
    20  HOUR am
    12  HOUR
    10  half past HOUR
     5  noon
     3  midnight

FROM
     1  from [* PLACE ]

ROUTE
    70  on [* ROAD ]
    30  along [* ROAD ]

BY
    80  by [* VEHICLE ]
    20  on [* foot ]

AVOID
    70  without [* OBSTACLE ]
    30  avoiding [* ROAD ]
"""

TRAVEL = ("IN:GET_DIRECTIONS", "IN:UPDATE_DIRECTIONS", "IN:GET_ESTIMATED_DURATION", "IN:GET_DISTANCE")
LEAVING = ("IN:GET_DIRECTIONS", "IN:GET_ESTIMATED_DURATION", "IN:GET_ESTIMATED_DEPARTURE")

# What takes a floating symbol: the slot by the intent of the frame.
FLOATING = {
    "WHEN": dict.fromkeys(LEAVING, "SL:DATE_TIME_DEPARTURE")
    | dict.fromkeys(("IN:GET_EVENT", "IN:GET_INFO_TRAFFIC"), "SL:DATE_TIME"),
    "BEFORE": dict.fromkeys(LEAVING, "SL:DATE_TIME_ARRIVAL") | {"IN:GET_EVENT": "SL:DATE_TIME"},
    "WHERE": dict.fromkeys(("IN:GET_EVENT", "IN:GET_LOCATION", "IN:GET_INFO_TRAFFIC"), "SL:LOCATION"),
    "ROUTE": dict.fromkeys(TRAVEL, "SL:PATH")
    | dict.fromkeys(("IN:GET_EVENT", "IN:GET_LOCATION", "IN:GET_INFO_TRAFFIC"), "SL:LOCATION"),
    "FROM": dict.fromkeys((*TRAVEL, "IN:GET_ESTIMATED_DEPARTURE"), "SL:SOURCE"),
    "BY": dict.fromkeys(TRAVEL, "SL:METHOD_TRAVEL"),
    "AVOID": dict.fromkeys(TRAVEL, "SL:PATH_AVOID"),
}

# Likings of every speaker, added to those of the words: (word, frame's intent) -> bonus.
SHARED_LIKINGS = {
    ("now", "IN:GET_EVENT"): -1.0,
    ("minutes", "IN:GET_EVENT"): -1.0,
    ("tonight", "IN:GET_EVENT"): 0.6,
    ("weekend", "IN:GET_EVENT"): 0.6,
    ("noon", "IN:GET_EVENT"): -0.3,
}
