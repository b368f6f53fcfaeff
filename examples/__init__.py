"""Examples of assets downstream of an inventory; the tests run them (docs/downstream.md)."""
