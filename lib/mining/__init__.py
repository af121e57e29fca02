"""A benchmark mined from free text: pages to candidate sentences, filtered, matched and assigned to stems.

Takes WET files; returns the same table of prompts as the curated benchmark.
"""
