"""What was launched, on this machine and on SageMaker, and the results that it has written.

Imports the packages that ``requests`` may import, and ``requests``.
"""
