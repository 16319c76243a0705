"""May this update ship?  Two files of predictions of the same items, what flips between them, and a gate.

In the order of the work: `read` and `items` (files to an update, for `bcr evaluate` and `bcr compare` alike), `update`,
`gate`, `verdict` (rates, noise floors, worst items; the same as an assertion), `tables` (what every report says),
`reports` (text, Markdown, JSON, JUnit) and `page` (HTML).
"""
