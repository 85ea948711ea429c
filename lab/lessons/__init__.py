"""What the notebooks' lessons compute, draw and grade: a notebook only calls it.

Each concept has its module: ``block_map``, ``programs`` and ``dumps`` (a pool block by block), ``layers``,
``loop_or_direct``, ``copy_cost``, ``choosing``, ``volume_cost``, ``planning``, ``metadata_growth`` and ``gating``.
``intervals`` is how measured numbers are shown, ``figures`` draws, and ``checks`` grades the exercises.
"""
