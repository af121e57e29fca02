"""What a run is told: parameter sets, validated before anything heavy is imported.

Takes YAML files of `params/`, or the values of a notebook's parameter cell; gives pydantic models, and
ParameterError for what is wrong with them.
"""
