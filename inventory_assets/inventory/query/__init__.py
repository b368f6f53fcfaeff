"""Read inventories and listings as datasets, or with SQL queries."""
