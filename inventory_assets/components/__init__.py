"""The Dagster component: `inventory.toml`'s tables as the attributes of a `defs.yaml`.

The attributes are the tables of `config`, and what they define is what `build_definitions` returns.
This package knows how Dagster projects load components, and nothing about listings.
"""
