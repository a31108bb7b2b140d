"""How an answer is made of runs: as a stream, or whole."""
