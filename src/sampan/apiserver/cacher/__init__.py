"""Everything that is stored, in memory and encoded, and what changed lately.

    store.watch ──> Cacher ──> Collection (one resource) ──> items, recent events
                                     └──> Watcher, Watcher, ...   (bytes made once, shared)

All changes come through the store's watch, our own writes too, so that there is one order and one
road. No authorization, no HTTP, no kinds in here.
"""
