// SPDX-License-Identifier: Apache-2.0
//
// Socket load balancing: a connection to a cluster IP is made to an endpoint in the first place.
// Attached to a cgroup; sees connect(), sendmsg() and recvmsg() of UDP, and getpeername() of every
// process in it. What it does not translate goes its way to the nftables rules.
//
// Build (the result is committed, so that no user needs a compiler):
//   clang -O2 -g0 -target bpf -I/usr/include/$(uname -m)-linux-gnu -c sockets.c -o sockets.o
//   sha256sum sockets.c sockets.o > sockets.sum
//
// Not translated on purpose: connected UDP (conntrack must be able to move such a flow), Services
// with session affinity (the memory of clients is nftables'), external addresses and node ports
// (masqueraded), and a pod that would reach itself.

#include <linux/bpf.h>
#include <linux/in.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

struct map_def {
	__u32 type, key_size, value_size, max_entries, flags;
};

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*map_update)(void *map, const void *key, const void *value, __u64 flags) =
	(void *)BPF_FUNC_map_update_elem;
static __u32 (*random_u32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static __u64 (*socket_cookie)(void *ctx) = (void *)BPF_FUNC_get_socket_cookie;
static __u64 (*netns_cookie)(void *ctx) = (void *)BPF_FUNC_get_netns_cookie;

#define STREAM 1
#define MAPPED 0xffff0000 // the third word of ::ffff:a.b.c.d, as it lies in memory

struct address { // IPv4 as IPv4-mapped IPv6; port in network order
	__u32 ip[4];
	__u16 port;
	__u16 protocol;
};

struct service {
	__u32 slots;  // which slots hold its endpoints
	__u32 count;
	__u32 member; // which members are its endpoints, over all changes
};

struct slot {
	__u32 slots, index;
};

struct member {
	__u32 member;
	struct address end;
};

struct seen {
	__u64 cookie;
	struct address other;
	__u32 zero; // a key has no bytes that nobody set
};

#define RANGES 4

struct range {
	__u32 ip[4], mask[4];
};

// Who may be translated: the node itself, and sockets bound to a pod's address.
struct local {
	__u64 node; // cookie of the node's network namespace
	__u32 count, zero;
	struct range pods[RANGES];
};

struct map_def SEC("maps") locals = {BPF_MAP_TYPE_ARRAY, sizeof(__u32),
	sizeof(struct local), 1, 0};
struct map_def SEC("maps") services = {BPF_MAP_TYPE_HASH, sizeof(struct address),
	sizeof(struct service), 131072, BPF_F_NO_PREALLOC};
struct map_def SEC("maps") slots = {BPF_MAP_TYPE_HASH, sizeof(struct slot),
	sizeof(struct address), 1048576, BPF_F_NO_PREALLOC};
struct map_def SEC("maps") members = {BPF_MAP_TYPE_HASH, sizeof(struct member),
	sizeof(__u32), 1048576, BPF_F_NO_PREALLOC};
// From a socket and an endpoint to the address that the program asked for.
struct map_def SEC("maps") peers = {BPF_MAP_TYPE_LRU_HASH, sizeof(struct seen),
	sizeof(struct address), 65536, 0};
// From a UDP socket and the address that it sends to, to the endpoint that it uses.
struct map_def SEC("maps") flows = {BPF_MAP_TYPE_LRU_HASH, sizeof(struct seen),
	sizeof(struct address), 65536, 0};

INLINE void read4(struct bpf_sock_addr *ctx, struct address *to, __u16 protocol)
{
	to->ip[0] = 0;
	to->ip[1] = 0;
	to->ip[2] = MAPPED;
	to->ip[3] = ctx->user_ip4;
	to->port = (__u16)ctx->user_port;
	to->protocol = protocol;
}

INLINE void read6(struct bpf_sock_addr *ctx, struct address *to, __u16 protocol)
{
	to->ip[0] = ctx->user_ip6[0];
	to->ip[1] = ctx->user_ip6[1];
	to->ip[2] = ctx->user_ip6[2];
	to->ip[3] = ctx->user_ip6[3];
	to->port = (__u16)ctx->user_port;
	to->protocol = protocol;
}

INLINE void write4(struct bpf_sock_addr *ctx, const struct address *from)
{
	ctx->user_ip4 = from->ip[3];
	ctx->user_port = from->port;
}

INLINE void write6(struct bpf_sock_addr *ctx, const struct address *from)
{
	ctx->user_ip6[0] = from->ip[0];
	ctx->user_ip6[1] = from->ip[1];
	ctx->user_ip6[2] = from->ip[2];
	ctx->user_ip6[3] = from->ip[3];
	ctx->user_port = from->port;
}

// One of a Service's endpoints, at random.
INLINE struct address *pick(const struct service *service)
{
	struct slot slot = {service->slots, 0};

	if (!service->count)
		return 0;
	slot.index = random_u32() % service->count;
	return map_lookup(&slots, &slot);
}

INLINE void remember(void *map, __u64 cookie, const struct address *key,
	const struct address *value)
{
	struct seen seen = {cookie, *key, 0};

	map_update(map, &seen, value, BPF_ANY);
}

INLINE int same(const __u32 *one, const __u32 *two)
{
	return one[0] == two[0] && one[1] == two[1] && one[2] == two[2] && one[3] == two[3];
}

// A socket that is bound to an address outside the pods' ranges must be masqueraded: not ours.
INLINE int outsider(struct bpf_sock_addr *ctx, const __u32 *own)
{
	__u32 zero = 0;
	struct local *local = map_lookup(&locals, &zero);

	if (!local || !local->count || netns_cookie(ctx) == local->node)
		return 0;
	for (int i = 0; i < RANGES; i++) {
		const struct range *pods = &local->pods[i];

		if (i < local->count && (own[0] & pods->mask[0]) == pods->ip[0] &&
		    (own[1] & pods->mask[1]) == pods->ip[1] &&
		    (own[2] & pods->mask[2]) == pods->ip[2] &&
		    (own[3] & pods->mask[3]) == pods->ip[3])
			return 0;
	}
	return 1;
}

// The endpoint for a new connection, or nothing. `own` is the socket's address, zero if unbound.
INLINE struct address *chosen(struct bpf_sock_addr *ctx, const struct address *to,
	const __u32 *own)
{
	struct service *service = map_lookup(&services, to);
	struct address *end;

	if (!service || (own[3] && outsider(ctx, own)))
		return 0;
	end = pick(service);
	if (!end || same(end->ip, own))
		return 0;
	return end;
}

// The endpoint of a datagram: the one that the socket uses already, as long as it is one.
INLINE struct address *chosen_for_datagram(struct bpf_sock_addr *ctx, const struct address *to,
	const __u32 *own)
{
	struct service *service = map_lookup(&services, to);
	struct seen flow = {0, *to, 0};
	struct member member = {};
	struct address *end;

	if (!service || (own[3] && outsider(ctx, own)))
		return 0;
	flow.cookie = socket_cookie(ctx);
	end = map_lookup(&flows, &flow);
	if (end) {
		member.member = service->member;
		member.end = *end;
		if (map_lookup(&members, &member))
			return end;
	}
	end = pick(service);
	if (end) {
		map_update(&flows, &flow, end, BPF_ANY);
		remember(&peers, flow.cookie, end, to);
	}
	return end;
}

// The address that the program asked for, where a peer is an endpoint that we chose.
INLINE struct address *asked(struct bpf_sock_addr *ctx, const struct address *peer)
{
	struct seen seen = {socket_cookie(ctx), *peer, 0};

	return map_lookup(&peers, &seen);
}

INLINE void bound4(struct bpf_sock_addr *ctx, __u32 *own)
{
	own[0] = 0;
	own[1] = 0;
	own[2] = MAPPED;
	own[3] = ctx->sk ? ctx->sk->src_ip4 : 0;
}

INLINE void bound6(struct bpf_sock_addr *ctx, __u32 *own)
{
	struct bpf_sock *sk = ctx->sk;

	own[0] = sk ? sk->src_ip6[0] : 0;
	own[1] = sk ? sk->src_ip6[1] : 0;
	own[2] = sk ? sk->src_ip6[2] : 0;
	own[3] = sk ? sk->src_ip6[3] : 0;
}

SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx)
{
	struct address to, *end;
	__u32 own[4];

	if (ctx->type != STREAM || ctx->protocol != IPPROTO_TCP)
		return 1;
	read4(ctx, &to, IPPROTO_TCP);
	bound4(ctx, own);
	end = chosen(ctx, &to, own);
	if (end) {
		struct address copy = *end;

		remember(&peers, socket_cookie(ctx), &copy, &to);
		write4(ctx, &copy);
	}
	return 1;
}

SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *ctx)
{
	struct address to, *end;
	__u32 own[4];

	if (ctx->type != STREAM || ctx->protocol != IPPROTO_TCP)
		return 1;
	read6(ctx, &to, IPPROTO_TCP);
	bound6(ctx, own);
	end = chosen(ctx, &to, own);
	if (end) {
		struct address copy = *end;

		remember(&peers, socket_cookie(ctx), &copy, &to);
		write6(ctx, &copy);
	}
	return 1;
}

SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct address to, *end;
	__u32 own[4];

	read4(ctx, &to, IPPROTO_UDP);
	bound4(ctx, own);
	end = chosen_for_datagram(ctx, &to, own);
	if (end)
		write4(ctx, end);
	return 1;
}

SEC("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct address to, *end;
	__u32 own[4];

	read6(ctx, &to, IPPROTO_UDP);
	bound6(ctx, own);
	end = chosen_for_datagram(ctx, &to, own);
	if (end)
		write6(ctx, end);
	return 1;
}

SEC("cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct address from, *vip;

	read4(ctx, &from, IPPROTO_UDP);
	vip = asked(ctx, &from);
	if (vip)
		write4(ctx, vip);
	return 1;
}

SEC("cgroup/recvmsg6") int recvmsg6(struct bpf_sock_addr *ctx)
{
	struct address from, *vip;

	read6(ctx, &from, IPPROTO_UDP);
	vip = asked(ctx, &from);
	if (vip)
		write6(ctx, vip);
	return 1;
}

SEC("cgroup/getpeername4") int getpeername4(struct bpf_sock_addr *ctx)
{
	struct address peer, *vip;

	read4(ctx, &peer, IPPROTO_TCP);
	vip = asked(ctx, &peer);
	if (vip)
		write4(ctx, vip);
	return 1;
}

SEC("cgroup/getpeername6") int getpeername6(struct bpf_sock_addr *ctx)
{
	struct address peer, *vip;

	read6(ctx, &peer, IPPROTO_TCP);
	vip = asked(ctx, &peer);
	if (vip)
		write6(ctx, vip);
	return 1;
}

char terms[] SEC("license") = "Apache-2.0";
