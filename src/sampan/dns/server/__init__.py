"""Listening: datagrams, TCP, TLS and HTTPS in; sites by zone; replies finished and sent."""
