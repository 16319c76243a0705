"""A run is a declared graph of notebook executions; a content hash decides what is fresh."""
