"""Expression leakage in language models: the functions that the numbered notebooks call.

The packages, in the order in which data flows; each imports only from those before it (`lint-imports` holds
them to that): runtime · config · storage · stats, nlp · corpora · dataset · replies · models · generation ·
mining · judging · analysis · annotation · agreement · claims · report · cli · lab, measure. What each takes
and gives stands in its `__init__`.
"""
