"""Reading inventories and listings: datasets, and SQL queries."""
