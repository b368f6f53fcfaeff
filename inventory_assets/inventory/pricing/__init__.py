"""A price table, and what storage and requests cost by it.

All figures are estimates. The room knows classes, objects and bytes as numbers; it must not know
records, stores or where the numbers come from.
"""
