"""Watch, queue, reconcile: the machinery that every component runs on."""
