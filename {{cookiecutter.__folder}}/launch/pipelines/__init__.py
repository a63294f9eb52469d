"""The requests of several jobs, the edges between them, and the definition for SageMaker.

Imports everything except ``backends`` and ``commands``: a pipeline is planned without a backend.
"""
