"""The commands for what was launched: list, show, follow, stop, repeat, compare and track it.

May import every other package.
"""
