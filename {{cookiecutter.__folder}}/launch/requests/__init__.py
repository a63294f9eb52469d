"""From the parser of an entrypoint and a command line to a checked CreateProcessingJob request.

Imports ``settings``, ``aws`` and ``storage``, but nothing that starts a job.
"""
