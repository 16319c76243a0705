"""Tables, figures and tree drawings beside the paper's numbers; needs no torch."""
