"""One file per HTTP verb of a resource: options in, registry or cacher, answer out."""
