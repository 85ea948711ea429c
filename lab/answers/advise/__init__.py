"""Which storage for a workload: measured ratios, the model's forecast of space, and the documentation's constraints."""
