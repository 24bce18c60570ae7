"""Held-out evaluation, pass@k with intervals, comparison of runs.

conditions + panel --evaluate--> results (one line per attempt) --build_report--> Report
two results files --compare--> Comparison
"""
