"""Other name servers: connections that are kept, queries told apart by ID, health by probing."""
