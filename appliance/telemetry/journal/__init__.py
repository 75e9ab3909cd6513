"""The raw journal: messages byte for byte as they came, for a day or so, if somebody wants that."""
