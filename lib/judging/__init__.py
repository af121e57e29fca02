"""Who gives a text its valence: the learned judge, its encoder, what it learnt from, and how it is fitted again.

`learned` answers with the coefficients that ship in lib/data/; `fit` makes them, from `training_data`, by `regression`, on what
`mpnet` holds of a text.
"""
