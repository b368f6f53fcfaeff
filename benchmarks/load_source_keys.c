/* The keys of each shape, by their number, and the search for a key among them. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_source.h"

enum { DEEP_FIRST_DAY = 19723, DEEP_DAYS = 730 };   /* from 2024-01-01 */
enum { MOST_GENERATIONS = 1000000 };

/* Thousandths of the keys that lie under each top-level prefix of `skewed`. */
static const unsigned SHARES[TENANTS] = {12, 1, 40, 6, 25, 60, 3, 700, 15, 1,
                                         8,  30, 2, 10, 1, 50, 7, 20,  4,  5};

static const char HEX[] = "0123456789abcdef";

void give_up(const char *why, const char *what) {
    fprintf(stderr, "load_source: %s%s%s\n", why, what ? ": " : "", what ? what : "");
    exit(2);
}

/* Numbers and texts */

/* https://prng.di.unimi.it/splitmix64.c */
uint64_t mixed(uint64_t bits) {
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
    return bits ^ (bits >> 31);
}

/* 64 random bits of a key; each stream of a key is independent of the others. */
uint64_t random_of(const struct keys *keys, uint64_t number, unsigned stream) {
    return mixed(mixed(keys->seed) + (number * 8 + stream + 1) * 0x9e3779b97f4a7c15);
}

/* A number below `bound`, from 64 random bits. */
static uint64_t below(uint64_t bits, uint64_t bound) {
    return (uint64_t)(((unsigned __int128)bits * bound) >> 64);
}

static void put_2(char *out, unsigned number) {
    out[0] = (char)('0' + number / 10);
    out[1] = (char)('0' + number % 10);
}

static void put_padded(char *out, uint64_t number, int width) {
    for (int at = width - 1; at >= 0; at--, number /= 10)
        out[at] = (char)('0' + number % 10);
}

char *put_decimal(char *out, uint64_t number) {
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *out++ = digits[--count];
    return out;
}

/* 16 digits at once: each nibble is spread to a byte, and then made a letter or a digit. */
char *put_hex(char *out, uint64_t number) {
    for (int half = 0; half < 2; half++) {
        uint64_t wide = half ? number & 0xffffffff : number >> 32;
        wide = ((wide << 16) | wide) & 0x0000ffff0000ffff;
        wide = ((wide << 8) | wide) & 0x00ff00ff00ff00ff;
        wide = ((wide << 4) | wide) & 0x0f0f0f0f0f0f0f0f;
        uint64_t letters = ((wide + 0x0606060606060606) >> 4) & 0x0101010101010101;
        wide = __builtin_bswap64(wide + 0x3030303030303030 + letters * ('a' - '0' - 10));
        memcpy(out + 8 * half, &wide, 8);
    }
    return out + 16;
}

static bool stands_for_itself(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte && strchr("-_.~/", byte));
}

char *put_encoded(char *out, struct text text, enum encoding encoding) {
    for (size_t at = 0; at < text.length; at++) {
        unsigned char byte = (unsigned char)text.bytes[at];
        if (encoding == URL && byte == ' ') {
            *out++ = '+';
        } else if (encoding == URL && !stands_for_itself(byte)) {
            *out++ = '%';
            *out++ = (char)(HEX[byte >> 4] - (byte >= 0xa0 ? 32 : 0));
            *out++ = (char)(HEX[byte & 15] - ((byte & 15) >= 10 ? 32 : 0));
        } else if (encoding == XML && (byte < ' ' || strchr("&<>\"", byte))) {
            const char *name = byte == '&' ? "&amp;" : byte == '<' ? "&lt;" : byte == '>' ? "&gt;"
                               : "&quot;";
            out += byte < ' ' ? sprintf(out, "&#x%x;", byte) : sprintf(out, "%s", name);
        } else {
            *out++ = (char)byte;
        }
    }
    return out;
}

/* `YYYY-MM-DD` of consecutive days; https://howardhinnant.github.io/date_algorithms.html */
char (*day_names(int64_t first_day, size_t count))[10] {
    char (*days)[10] = malloc(count * sizeof *days);
    for (size_t at = 0; at < count; at++) {
        int64_t shifted = first_day + (int64_t)at + 719468, era = shifted / 146097;
        int64_t of_era = shifted % 146097;
        int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
        int64_t march = (5 * of_year + 2) / 153, month = march < 10 ? march + 3 : march - 9;
        put_padded(days[at], (uint64_t)(year + era * 400 + (month <= 2)), 4);
        put_padded(days[at] + 5, (uint64_t)month, 2);
        put_padded(days[at] + 8, (uint64_t)(of_year - (153 * march + 2) / 5 + 1), 2);
        days[at][4] = days[at][7] = '-';
    }
    return days;
}

/* Shapes */

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file)
        give_up(strerror(errno), path);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*length + 1);
    if (fread(bytes, 1, *length, file) != *length)
        give_up("cannot read", path);
    fclose(file);
    if (*length && bytes[*length - 1] != '\n')
        bytes[(*length)++] = '\n';
    return bytes;
}

static void load_names(struct keys *keys, const char *path) {
    if (!path)
        give_up("the shape `real` needs --names FILE", NULL);
    size_t length;
    char *bytes = read_file(path, &length), *end = bytes + length, *next;
    for (char *at = bytes; at < end; at++)
        keys->names += *at == '\n';
    if (!keys->names || (keys->count - 1) / keys->names >= MOST_GENERATIONS)
        give_up("too few names for so many keys", path);
    for (int encoding = RAW; encoding < ENCODINGS; encoding++) {
        struct column *column = &keys->columns[encoding];
        column->bytes = malloc(length * MOST_ESCAPED);
        column->starts = malloc((keys->names + 1) * sizeof *column->starts);
        char *out = column->bytes;
        struct text before = {0};
        uint64_t number = 0;
        for (char *at = bytes; at < end; at = next + 1) {
            next = memchr(at, '\n', (size_t)(end - at));
            struct text name = {at, (size_t)(next - at)};
            size_t common = before.length < name.length ? before.length : name.length;
            int order = number ? memcmp(before.bytes, name.bytes, common) : -1;
            if (order > 0 || (!order && before.length >= name.length))
                give_up("the names are not sorted by their bytes, or one is there twice", path);
            if (!name.length || name.length > MAX_KEY_BYTES - 7)
                give_up("a name is empty or too long", path);
            column->starts[number++] = (uint64_t)(out - column->bytes);
            out = put_encoded(out, name, (enum encoding)encoding);
            before = name;
        }
        column->starts[number] = (uint64_t)(out - column->bytes);
        column->bytes = realloc(column->bytes, (size_t)(out - column->bytes));
    }
    free(bytes);
}

void keys_open(struct keys *keys, const char *shape, uint64_t count, uint64_t seed,
               const char *names_file) {
    static const char *const SHAPES[] = {"flat", "deep", "skewed", "real"};
    size_t found = 0;
    while (found < 4 && strcmp(shape, SHAPES[found]))
        found++;
    if (found == 4)
        give_up("no such shape", shape);
    *keys = (struct keys){.shape = (enum shape)found, .count = count, .seed = seed};
    if (!count)
        return;
    if (keys->shape == FLAT)
        keys->step = UINT64_MAX / count;
    if (keys->shape == DEEP) {
        uint64_t an_hour = (count - 1) / (DEEP_DAYS * 24) + 1;
        while (keys->parts * keys->parts < an_hour)
            keys->parts++;
        keys->hosts = (an_hour - 1) / keys->parts + 1;
        keys->days = day_names(DEEP_FIRST_DAY, DEEP_DAYS);
        for (size_t day = 0; day < DEEP_DAYS; day++)
            keys->days[day][4] = keys->days[day][7] = '/';
    }
    if (keys->shape == SKEWED)
        for (uint64_t tenant = 0, share = 0; tenant < TENANTS; tenant++) {
            share += SHARES[tenant];
            keys->starts[tenant + 1] = count * share / 1000;
            uint64_t held = keys->starts[tenant + 1] - keys->starts[tenant];
            keys->steps[tenant] = held ? UINT64_MAX / held : 0;
        }
    if (keys->shape == REAL)
        load_names(keys, names_file);
}

static char *put_flat(const struct keys *keys, uint64_t number, char *out) {
    uint64_t jitter = below(random_of(keys, number, 0), keys->step);
    out = PUT(out, "data/");
    out = put_hex(out, number * keys->step + jitter);
    return put_hex(out, random_of(keys, number, 1));
}

static char *put_deep(const struct keys *keys, uint64_t number, char *out) {
    uint64_t part = number % keys->parts, host = number / keys->parts;
    uint64_t hour = host / keys->hosts;
    host %= keys->hosts;
    memcpy(out, "logs/2024/03/17/05/host-0042/part-00012.json.gz", 47);
    memcpy(out + 5, keys->days[hour / 24], 10);
    put_2(out + 16, (unsigned)(hour % 24));
    put_padded(out + 24, host, 4);
    put_padded(out + 34, part, 5);
    return out + 47;
}

static char *put_skewed(const struct keys *keys, uint64_t number, char *out) {
    unsigned tenant = 0;
    while (number >= keys->starts[tenant + 1])
        tenant++;
    uint64_t within = number - keys->starts[tenant], step = keys->steps[tenant];
    char digits[16];
    put_hex(digits, within * step + below(random_of(keys, number, 0), step));
    out = PUT(out, "tenant-00/");
    put_2(out - 3, tenant);
    memcpy(out, digits, 2);
    out[2] = '/';
    memcpy(out + 3, digits + 2, 14);
    out[17] = '-';
    put_hex(digits, random_of(keys, number, 1));
    memcpy(out + 18, digits, 8);
    return PUT(out + 26, ".parquet");
}

static char *put_real(const struct keys *keys, uint64_t number, enum encoding encoding, char *out) {
    const struct column *column = &keys->columns[encoding];
    uint64_t name = number % keys->names, start = column->starts[name];
    put_padded(out, number / keys->names, 6);
    out[6] = '/';
    size_t length = column->starts[name + 1] - start;
    memcpy(out + 7, column->bytes + start, length);
    return out + 7 + length;
}

/* Write a key; its length. Only real names ever need encoding. */
size_t key_render(const struct keys *keys, uint64_t number, enum encoding encoding, char *out) {
    switch (keys->shape) {
    case FLAT: return (size_t)(put_flat(keys, number, out) - out);
    case DEEP: return (size_t)(put_deep(keys, number, out) - out);
    case SKEWED: return (size_t)(put_skewed(keys, number, out) - out);
    default: return (size_t)(put_real(keys, number, encoding, out) - out);
    }
}

static bool fulfils(struct text key, struct text text, enum bound bound) {
    size_t common = key.length < text.length ? key.length : text.length;
    int order = memcmp(key.bytes, text.bytes, common);
    if (order || bound == ABOVE_PREFIX)
        return order > 0;
    return bound == ABOVE ? key.length > text.length : key.length >= text.length;
}

/* The first number, from `from` on, whose key fulfils the bound; the count if none does. Near ones
 * are found fast, so that a walk from folder to folder is cheap. */
uint64_t first_key(const struct keys *keys, uint64_t from, struct text text, enum bound bound) {
    char bytes[MAX_KEY_BYTES];
    uint64_t low = from, high = keys->count, reach = 1;
    bool galloping = true;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (galloping && low + reach < middle)
            middle = low + reach;
        struct text key = {bytes, key_render(keys, middle, RAW, bytes)};
        if (fulfils(key, text, bound)) {
            high = middle;
            galloping = false;
        } else {
            low = middle + 1;
            reach *= 2;
        }
    }
    return low;
}
