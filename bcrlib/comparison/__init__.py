"""May this update ship?  Two files of predictions of the same items, what flips between them, and a gate.

In the order of the work: `read` (files to an update, for `bcr evaluate` and `bcr compare` alike), `runs` (further runs
of the models), `verdict` (the update itself; rates, noise floors, worst items), `gate`, `tables` (what every report
says), `reports` (text, Markdown, JSON, JUnit) and `page` (HTML); `testing` is the same as an assertion.
"""
