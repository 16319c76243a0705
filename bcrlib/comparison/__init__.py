"""May this update ship?  Two files of predictions of the same items, what flips between them, and a gate.

In the order of the work: `update` (what was right under the old and the new model, aligned by id; read from `trees`,
`frames` or `json_items`), `slices`, `verdict`, `worst`, `gate`; `testing` is the same as an assertion.
"""
