"""What the notebooks' lessons compute, draw and grade: a notebook only calls it.

Each concept has its module: ``block_map``, ``programs`` and ``dumps`` (a pool block by block), ``layers``,
``loop_or_direct``, ``copy_cost`` and ``copy_figures``, ``volume_cost``, ``planning`` with its figures and widgets,
``metadata_growth`` and ``metadata_figures``, ``gating`` and ``gating_figures``; ``told`` and ``forest`` are how numbers
and ratios are shown, ``checks`` and ``run_checks`` grade the exercises.
"""
