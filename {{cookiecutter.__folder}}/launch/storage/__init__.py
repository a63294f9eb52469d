"""The files of inputs and outputs: in local folders, in S3, and the code that ``--code`` runs.

Imports ``settings`` and ``aws``.
"""
