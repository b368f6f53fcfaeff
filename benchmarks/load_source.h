/* The load source's rooms: the keys, the pages made of them, and the server that sends them. */

#ifndef LOAD_SOURCE_H
#define LOAD_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MAX_KEYS = 1000,        /* in a page, as in S3 */
    MAX_KEY_BYTES = 1024,   /* of a key, as in S3 */
    MOST_ESCAPED = 6,       /* bytes that one byte of a key becomes: &quot; */
    PROLOGUE_ROOM = 32768,  /* before the objects: HTTP header, echoed parameters */
    OBJECT_ROOM = MOST_ESCAPED * MAX_KEY_BYTES + 1024,
    PAGE_ROOM = PROLOGUE_ROOM + MAX_KEYS * OBJECT_ROOM + 1024,
};

/* Writes a literal; the end of what was written. */
#define PUT(out, literal) \
    (memcpy(out, literal, sizeof(literal) - 1), (out) + sizeof(literal) - 1)

struct text {
    const char *bytes;
    size_t length;
};

/* Keys (load_source_keys.c): a strictly ascending function of 0 .. count - 1. */

enum shape { FLAT, DEEP, SKEWED, REAL };
enum { TENANTS = 20 };
enum encoding { RAW, URL, XML, ENCODINGS };
enum bound { AT_LEAST, ABOVE, ABOVE_PREFIX };

struct column {             /* the names in one encoding, end to end */
    char *bytes;
    uint64_t *starts;
};

struct keys {
    enum shape shape;
    uint64_t count;
    uint64_t seed;
    uint64_t step;                      /* flat */
    uint64_t parts, hosts;              /* deep */
    char (*days)[10];
    uint64_t starts[TENANTS + 1];       /* skewed */
    uint64_t steps[TENANTS];
    uint64_t names;                     /* real */
    struct column columns[ENCODINGS];
};

void keys_open(struct keys *keys, const char *shape, uint64_t count, uint64_t seed,
               const char *names_file);
size_t key_render(const struct keys *keys, uint64_t number, enum encoding encoding, char *out);
uint64_t first_key(const struct keys *keys, uint64_t from, struct text text, enum bound bound);
uint64_t random_of(const struct keys *keys, uint64_t number, unsigned stream);
uint64_t mixed(uint64_t bits);

/* What is told of a text, in the encoding of a response; returns the end of what was written. */
char *put_encoded(char *out, struct text text, enum encoding encoding);
char *put_decimal(char *out, uint64_t number);
char *put_hex(char *out, uint64_t number);
char (*day_names(int64_t first_day, size_t count))[10];

_Noreturn void give_up(const char *why, const char *what);

/* Pages (load_source_pages.c). */

struct pages {
    const struct keys *keys;
    const char *bucket;
    bool checksums, owners;
    char (*days)[10];
    char *prefixes;                     /* where common prefixes are gathered */
};

struct query {
    struct text prefix, start_after, token, delimiter;
    uint64_t max_keys;
    bool url_encoded;
};

struct page {                           /* rendered within a room of PAGE_ROOM bytes */
    char *start;
    size_t length;
    uint64_t objects;
};

void pages_open(struct pages *pages);
bool page_render(const struct pages *pages, const struct query *query, char *room,
                 struct page *page);
char *object_headers(const struct pages *pages, struct text key, char *out);

/* Requests (load_source_requests.c). */

struct request {
    struct query query;
    bool lists, locates;
};

bool read_parameters(char *text, struct request *request);
struct text path_key(char *text);

#endif
