"""Lessons: what the product computes, shown number by number, each with a page of its own.

A lesson stands on all that it teaches, so this room lies above the others and below the command line.
"""
