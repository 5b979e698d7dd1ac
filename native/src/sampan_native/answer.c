/* The receive loop of a DNS server: a batch of queries in, those whose replies are known answered.
 *
 *   recvmmsg -> look up each query's bytes -> sendmmsg          -> the others, to the caller
 *                 |
 *                 rows, put and dropped by the caller between two calls
 *
 * A row's key is a whole query without its ID, or, for a denial that holds below a name, the query
 * without its name and what the name ends in. No Python here: ctypes calls these functions and
 * lets go of the interpreter's lock meanwhile. One loop belongs to one thread at a time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH 64
#define SLOT 4096
#define NAME 32
#define CONTROL 96
#define HEADER 12
#define LONGEST_KEY 1024

enum kind { WHOLE = 0, BELOW = 1 };

struct turn {
    uint32_t size, left; /* the TTL that stands in it, where TTLs go down */
    uint8_t *bytes;
};

struct row {
    struct row *next;
    uint64_t hash;
    double until, since;
    uint64_t hits;
    uint32_t ident, era, ttl; /* era 0: for ever; ttl 0: TTLs stay as they are */
    uint16_t key_size, count, have, at;
    uint8_t kind;
    uint8_t *key;
    struct turn *turns;
};

struct loop {
    struct row **buckets;
    uint32_t mask, rows, below, era;
    uint64_t seed;
    uint8_t data[BATCH][SLOT];
    uint8_t names[BATCH][NAME];
    uint8_t controls[BATCH][CONTROL];
    struct iovec in[BATCH];
    struct mmsghdr received[BATCH], sent[BATCH];
    struct iovec out[BATCH][4];
    struct mmsghdr late[BATCH];
    uint32_t sizes[BATCH][3]; /* of a query that was not answered: itself, name and control */
};

/* Rows */

static uint64_t mixed(uint64_t hash, const uint8_t *bytes, size_t size)
{
    uint64_t word;
    while (size >= 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 32;
        bytes += 8;
        size -= 8;
    }
    word = size;
    memcpy(&word, bytes, size);
    hash = (hash ^ word ^ (uint64_t)size << 56) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}

static struct row **place(struct loop *loop, int kind, const uint8_t *key, size_t size,
                          uint64_t hash)
{
    struct row **at = &loop->buckets[hash & loop->mask];
    while (*at && ((*at)->hash != hash || (*at)->key_size != size || (*at)->kind != kind ||
                   memcmp((*at)->key, key, size)))
        at = &(*at)->next;
    return at;
}

static uint64_t hash_of(struct loop *loop, int kind, const uint8_t *key, size_t size)
{
    return mixed(loop->seed + (uint64_t)kind, key, size);
}

static void release(struct row *row)
{
    for (int i = 0; i < row->have; i++)
        free(row->turns[i].bytes);
    free(row->turns);
    free(row->key);
    free(row);
}

static int add(struct row *row, const uint8_t *reply, size_t size)
{
    uint8_t *copy = malloc(size);
    if (!copy || row->have >= row->count) {
        free(copy);
        return -1;
    }
    memcpy(copy, reply, size);
    row->turns[row->have].bytes = copy;
    row->turns[row->have].left = UINT32_MAX;
    row->turns[row->have++].size = (uint32_t)size;
    return 0;
}

struct loop *loop_new(uint32_t buckets, uint64_t seed)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop || !(loop->buckets = calloc(buckets, sizeof *loop->buckets))) {
        free(loop);
        return NULL;
    }
    loop->mask = buckets - 1;
    loop->era = 1;
    loop->seed = seed;
    for (int i = 0; i < BATCH; i++) {
        loop->in[i] = (struct iovec){loop->data[i], SLOT};
        loop->received[i].msg_hdr = (struct msghdr){
            .msg_name = loop->names[i], .msg_iov = &loop->in[i], .msg_iovlen = 1,
            .msg_control = loop->controls[i]};
    }
    return loop;
}

void loop_clear(struct loop *loop)
{
    for (uint32_t i = 0; loop->rows && i <= loop->mask; i++)
        while (loop->buckets[i]) {
            struct row *row = loop->buckets[i];
            loop->buckets[i] = row->next;
            release(row);
        }
    loop->rows = loop->below = 0;
}

void loop_free(struct loop *loop)
{
    loop_clear(loop);
    free(loop->buckets);
    free(loop);
}

/* A row that nobody has yet; `count` rotations of its reply are to come, the first one is here. */
int loop_put(struct loop *loop, int kind, const uint8_t *key, size_t key_size, uint32_t ident,
             const uint8_t *reply, size_t size, double until, int count, int dated,
             double since, uint32_t ttl)
{
    uint64_t hash = hash_of(loop, kind, key, key_size);
    if (key_size > LONGEST_KEY || *place(loop, kind, key, key_size, hash))
        return -1;
    struct row *row = calloc(1, sizeof *row);
    if (!row)
        return -1;
    *row = (struct row){.hash = hash, .until = until, .ident = ident, .kind = (uint8_t)kind,
                        .key_size = (uint16_t)key_size, .count = (uint16_t)count,
                        .era = dated ? loop->era : 0, .since = since, .ttl = ttl};
    row->key = malloc(key_size);
    row->turns = calloc((size_t)count, sizeof *row->turns);
    if (!row->key || !row->turns || add(row, reply, size)) {
        release(row);
        return -1;
    }
    memcpy(row->key, key, key_size);
    row->next = loop->buckets[hash & loop->mask];
    loop->buckets[hash & loop->mask] = row;
    loop->rows++;
    loop->below += kind == BELOW;
    return 0;
}

/* Rows that hold for an era are not sent any more; the caller drops them when he meets them. */
void loop_turn_era(struct loop *loop)
{
    loop->era += loop->era == UINT32_MAX ? 2 : 1;
}

int loop_turn(struct loop *loop, int kind, const uint8_t *key, size_t key_size,
              const uint8_t *reply, size_t size)
{
    struct row *row = *place(loop, kind, key, key_size, hash_of(loop, kind, key, key_size));
    return row ? add(row, reply, size) : -1;
}

/* How often the row was sent since this was asked last; the row is gone then. */
uint64_t loop_drop(struct loop *loop, int kind, const uint8_t *key, size_t key_size)
{
    struct row **at = place(loop, kind, key, key_size, hash_of(loop, kind, key, key_size));
    struct row *row = *at;
    if (!row)
        return 0;
    uint64_t hits = row->hits;
    *at = row->next;
    loop->rows--;
    loop->below -= row->kind == BELOW;
    release(row);
    return hits;
}

/* Which rows were sent, and how often, since the last time: at most `room` of them at a time. */
size_t loop_hits(struct loop *loop, uint32_t *idents, uint64_t *hits, size_t room)
{
    size_t found = 0;
    for (uint32_t i = 0; loop->rows && i <= loop->mask; i++)
        for (struct row *row = loop->buckets[i]; row; row = row->next)
            if (row->hits && found < room) {
                idents[found] = row->ident;
                hits[found++] = row->hits;
                row->hits = 0;
            }
    return found;
}

/* Answering */

static int holds(const struct loop *loop, const struct row *row, double now)
{
    return row && row->until >= now && (!row->era || row->era == loop->era);
}

/* This TTL into all records of a reply that begins with its flags; what does not read as a message
 * is left as it is. */
static void age(uint8_t *reply, size_t size, uint32_t ttl)
{
    size_t pos = HEADER - 2, number = 0;
    size_t questions = (size_t)reply[2] << 8 | reply[3], all = questions;
    for (int i = 4; i < 10; i += 2)
        all += (size_t)reply[i] << 8 | reply[i + 1];
    for (; number < all; number++) {
        while (pos < size && reply[pos] && reply[pos] < 0xC0)
            pos += 1u + reply[pos];
        if (pos >= size)
            return;
        pos += reply[pos] ? 2 : 1;
        if (number < questions) {
            pos += 4;
            continue;
        }
        if (pos + 10 > size)
            return;
        if (reply[pos] || reply[pos + 1] != 41) {
            uint32_t wire = htonl(ttl);
            memcpy(reply + pos + 4, &wire, 4);
        }
        pos += 10u + ((size_t)reply[pos + 8] << 8 | reply[pos + 9]);
    }
}

static int answered_whole(struct loop *loop, int i, const uint8_t *wire, size_t size, double now)
{
    uint64_t hash = hash_of(loop, WHOLE, wire + 2, size - 2);
    struct row *row = *place(loop, WHOLE, wire + 2, size - 2, hash);
    if (!holds(loop, row, now))
        return 0;
    uint16_t at = (uint16_t)(row->at + 1 < row->count ? row->at + 1 : 0);
    if (at >= row->have)
        return 0; /* the caller renders this rotation */
    row->at = at;
    row->hits++;
    if (row->ttl) {
        struct turn *turn = &row->turns[at];
        uint32_t left = row->ttl - (uint32_t)(now - row->since);
        if (turn->left != left)
            age(turn->bytes, turn->size, turn->left = left);
    }
    loop->out[i][0] = (struct iovec){(void *)wire, 2};
    loop->out[i][1] = (struct iovec){row->turns[at].bytes, row->turns[at].size};
    loop->sent[i].msg_hdr.msg_iovlen = 2;
    return 1;
}

/* The end of the question's name, and where its labels begin; 0 where it is not a plain name. */
static size_t name_end(const uint8_t *wire, size_t size, uint8_t *labels, int *count)
{
    size_t pos = HEADER;
    *count = 0;
    while (pos < size && wire[pos]) {
        if (wire[pos] > 63 || *count > 126 || pos > 255)
            return 0;
        labels[(*count)++] = (uint8_t)(pos - HEADER);
        pos += 1u + wire[pos];
    }
    return pos < size ? pos + 1 : 0;
}

static int answered_below(struct loop *loop, int i, const uint8_t *wire, size_t size, double now)
{
    uint8_t labels[128], key[LONGEST_KEY];
    int count;
    size_t end = name_end(wire, size, labels, &count);
    if (!end || end + 4 > size || wire[4] || wire[5] != 1)
        return 0;
    size_t rest = size - end, fixed = HEADER - 2 + 2 + rest, name = end - HEADER;
    if (fixed + name > LONGEST_KEY)
        return 0;
    memcpy(key, wire + 2, HEADER - 2);
    key[10] = (uint8_t)(name >> 8);
    key[11] = (uint8_t)name;
    memcpy(key + 12, wire + end, rest);
    for (int n = 1; n < count; n++) {
        size_t tail = name - labels[n];
        memcpy(key + fixed, wire + HEADER + labels[n], tail);
        uint64_t hash = hash_of(loop, BELOW, key, fixed + tail);
        struct row *row = *place(loop, BELOW, key, fixed + tail, hash);
        if (!holds(loop, row, now))
            continue;
        row->hits++;
        loop->out[i][0] = (struct iovec){(void *)wire, 2};
        loop->out[i][1] = (struct iovec){row->turns[0].bytes, HEADER - 2};
        loop->out[i][2] = (struct iovec){(void *)(wire + HEADER), name + 4};
        loop->out[i][3] = (struct iovec){row->turns[0].bytes + HEADER - 2,
                                         row->turns[0].size - (HEADER - 2)};
        loop->sent[i].msg_hdr.msg_iovlen = 4;
        return 1;
    }
    return 0;
}

/* Replies keep the source address but may leave by any interface; only link-local ones may not. */
static void free_interface(struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            ((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex = 0;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(c);
            if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
                info->ipi6_ifindex = 0;
        }
    }
}

static void flush(struct mmsghdr *sent, int fd, int start, int end)
{
    while (start < end) {
        int done = sendmmsg(fd, sent + start, (unsigned)(end - start), MSG_DONTWAIT);
        /* A reply that cannot be sent is skipped; the others must not suffer for it. */
        start += done > 0 ? done : 1;
    }
}

/* One batch; how many queries came. The numbers of those that were not answered are in `missed`. */
int loop_drain(struct loop *loop, int fd, double now, int look_up, uint8_t *missed,
               int *missed_count)
{
    *missed_count = 0;
    for (int i = 0; i < BATCH; i++) {
        loop->received[i].msg_hdr.msg_namelen = NAME;
        loop->received[i].msg_hdr.msg_controllen = CONTROL;
    }
    int count = recvmmsg(fd, loop->received, BATCH, MSG_DONTWAIT, NULL), begun = 0;
    for (int i = 0; i < count; i++) {
        const uint8_t *wire = loop->data[i];
        size_t size = loop->received[i].msg_len;
        struct msghdr *out = &loop->sent[i].msg_hdr;
        free_interface(&loop->received[i].msg_hdr);
        *out = loop->received[i].msg_hdr;
        out->msg_iov = loop->out[i];
        out->msg_flags = 0;
        if (look_up && loop->rows && size > HEADER && size <= LONGEST_KEY &&
            (answered_whole(loop, i, wire, size, now) ||
             (loop->below && answered_below(loop, i, wire, size, now))))
            continue;
        flush(loop->sent, fd, begun, i);
        begun = i + 1;
        loop->sizes[i][0] = (uint32_t)size;
        loop->sizes[i][1] = (uint32_t)out->msg_namelen;
        loop->sizes[i][2] = (uint32_t)out->msg_controllen;
        missed[(*missed_count)++] = (uint8_t)i;
    }
    flush(loop->sent, fd, begun, count);
    return count;
}

/* The caller's own replies to queries of the last batch, which he has written in their places:
 * `late` has the numbers of the queries and how long each reply is. */
void loop_send_late(struct loop *loop, int fd, const uint32_t (*late)[2], int count)
{
    for (int n = 0; n < count && n < BATCH; n++) {
        uint32_t i = late[n][0] % BATCH, size = late[n][1] < SLOT ? late[n][1] : SLOT;
        loop->out[i][0] = (struct iovec){loop->data[i], size};
        loop->sent[i].msg_hdr.msg_iovlen = 1;
        loop->late[n] = loop->sent[i];
    }
    flush(loop->late, fd, 0, count < BATCH ? count : BATCH);
}

/* Where the queries of the last batch lie, and how far apart, with the names and control messages
 * that they came with and the sizes of all three. */
void loop_places(struct loop *loop, void *places[4], uint32_t steps[3])
{
    places[0] = loop->data;
    places[1] = loop->names;
    places[2] = loop->controls;
    places[3] = loop->sizes;
    steps[0] = SLOT;
    steps[1] = NAME;
    steps[2] = CONTROL;
}
