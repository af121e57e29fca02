"""Expression leakage in language models: the functions that the numbered notebooks call."""
