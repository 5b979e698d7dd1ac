$TTL 60
@ IN SOA ns h 1 2 3 4 5
  IN NS ns
ns A 192.0.2.1
www A 192.0.2.4
cut NS ns.cut
ns.cut A 192.0.2.3
incut CNAME a.cut
