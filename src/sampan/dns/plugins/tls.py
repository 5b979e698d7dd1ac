"""*tls* gives certificates to the `tls://` and `https://` addresses of the block."""

from __future__ import annotations

from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args
from sampan.dns.tls import server_context

CLIENT_AUTH = ("nocert", "request", "require", "verify_if_given", "require_and_verify")


def setup(args: Args) -> Plugin | None:
    for words in args.places():
        if args.block.tls is not None:
            twice = args.error("TLS already configured for this server instance")
            raise CorefileError(f"plugin/tls: {twice}")
        if not words and args.in_block():
            raise args.error(
                f"'{args.word}': certificates are not fetched by ACME here; let another program "
                "keep them, and write tls CERT KEY"
            )
        if not 2 <= len(words) <= 3:
            raise CorefileError(f"plugin/tls: {args.wrong_count()}")
        client_auth, key_log = "nocert", ""
        for name in args.properties():
            if name == "client_auth":
                client_auth = args.one()
                if client_auth not in CLIENT_AUTH:
                    raise args.error(f"unknown authentication type '{client_auth}'")
            elif name == "keylog":
                key_log = args.path(args.one())
            else:
                raise args.error(f"unknown option '{name}'")
        context = server_context([args.path(word) for word in words], client_auth)
        if key_log:
            context.keylog_filename = key_log
            args.world.log.warning(f'plugin/tls: Writing TLS Key Log to "{key_log}"')
        args.block.tls = context
    return None
