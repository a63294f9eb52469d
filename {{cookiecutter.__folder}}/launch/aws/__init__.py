"""What AWS offers: its clients, errors, prices, and the limits of its API.

Imports ``settings`` only.
"""
