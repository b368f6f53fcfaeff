"""Usage: objects and bytes by prefix, class, size, age and state, for parts and for dates.

The aggregate of a part is computed once and kept beside it; a date adds those of its parts. This
package reads parts and manifests. It knows no prices, no rules of waste and no bucket.
"""
