"""Parsers, deepbiaf and stackptr and the ensembles of each: from characters to trees."""
