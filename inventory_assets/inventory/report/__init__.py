"""The report: one HTML page about an inventory, for people.

`date_report` collects what other rooms computed into values (`report_data`), and `page` renders
them. The room sends no request to the bucket, knows no Dagster, and never puts a key or prefix into
the page as anything but text.
"""
