"""What the repository is configured with: ``aws.env``, ``launch.toml``, names and addresses.

Imports no other package of ``launch``.
"""
