"""The panel of the module; nothing is computed here.

Reading order: ``parameters`` (what is kept in the scene), ``controls``, ``inputs``, ``scan`` (what the user gives),
``running`` and ``lastrun`` (a run, and what is kept of it), ``actions`` (what the buttons do), ``obstacles`` (why one
cannot be pressed), ``tables`` and ``views`` (what is shown), ``packages``, ``selftest``.
"""
