"""Did this change make storage slower, or larger?  A baseline against a candidate, metric by metric.

Run folders in, a verdict out.  Timings are settled by permutation tests over
repetitions and a minimum effect; counts of space by a tolerance, without
statistics; whatever was not settled is inconclusive, never a pass.
"""
