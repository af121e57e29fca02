"""Human labels of completions: which completions are labelled, the form, and exchange with other tools.

The package takes judgements and returns labels, each with its annotator.
"""
