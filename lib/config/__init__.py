"""The configuration of a run: parameter sets, validated before anything heavy is imported.

Input: YAML files of `params/`, or the values of a notebook's parameters cell. Output: pydantic models, and
ParameterError for what is wrong with the values.
"""
