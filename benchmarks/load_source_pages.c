/* ListObjectsV2 responses, in the order and the spelling of AWS.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_source.h"

enum { FIRST_DAY = 19631, DAYS = 1096 };    /* three years from 2023-10-01 */

void pages_open(struct pages *pages) {
    pages->days = day_names(FIRST_DAY, DAYS);
    pages->prefixes = malloc(PAGE_ROOM);
}

static char *put_time(const struct pages *pages, char *out, uint32_t bits) {
    unsigned second = (unsigned)(((uint64_t)bits * (DAYS * 86400U)) >> 32);
    unsigned of_day = second % 86400;
    unsigned parts[3] = {of_day / 3600, of_day / 60 % 60, of_day % 60};
    memcpy(out, pages->days[second / 86400], 10);
    memcpy(out + 10, "T00:00:00.000Z", 14);
    for (int part = 0; part < 3; part++) {
        out[11 + 3 * part] = (char)('0' + parts[part] / 10);
        out[12 + 3 * part] = (char)('0' + parts[part] % 10);
    }
    return out + 24;
}

/* The size of an object: from 0 bytes to 8 GiB, as many of each order of magnitude. */
static uint64_t size_of(const struct keys *keys, uint64_t number) {
    uint64_t bits = random_of(keys, number, 5);
    return (bits >> 8) & ((1ULL << ((bits & 255) * 34 >> 8)) - 1);
}

static char *put_etag(const struct keys *keys, uint64_t number, uint64_t size, char *out) {
    out = put_hex(put_hex(out, random_of(keys, number, 2)), random_of(keys, number, 3));
    if (size > 1ULL << 31) {
        *out++ = '-';
        out = put_decimal(out, (size - 1) / (1 << 26) + 1);
    }
    return out;
}

/* The headers that S3 answers HEAD with, of an object with metadata of its own; NULL where there
 * is no such key (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html). */
char *object_headers(const struct pages *pages, struct text key, char *out) {
    static const char *TYPES[] = {"application/octet-stream", "image/jpeg", "application/x-gzip",
                                  "text/plain; charset=utf-8"};
    const struct keys *keys = pages->keys;
    uint64_t number = first_key(keys, 0, key, AT_LEAST);
    char name[MAX_KEY_BYTES + 1];
    if (number >= keys->count || key_render(keys, number, RAW, name) != key.length ||
        memcmp(name, key.bytes, key.length))
        return NULL;
    uint64_t size = size_of(keys, number), kind = random_of(keys, number, 6);
    out = PUT(out, "Last-Modified: Sun, 01 Oct 2023 12:00:00 GMT\r\nETag: \"");
    out = put_etag(keys, number, size, out);
    out = PUT(out, "\"\r\nx-amz-server-side-encryption: AES256\r\nAccept-Ranges: bytes\r\n"
                   "x-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\nx-amz-checksum-type: FULL_OBJECT\r\n"
                   "x-amz-meta-owner: team-");
    out = put_decimal(out, kind >> 8 & 63);
    return out + sprintf(out, "\r\nx-amz-meta-checksum: %016llx\r\nContent-Type: %s\r\n"
                              "Content-Length: %llu\r\n", (unsigned long long)kind,
                         TYPES[kind & 3], (unsigned long long)size);
}

/* One object; the largest uploaded in parts of 64 MiB; 3 % and 2 % outside STANDARD. */
static char *put_object(const struct pages *pages, uint64_t number, enum encoding encoding,
                        char *out) {
    const struct keys *keys = pages->keys;
    uint64_t chance = random_of(keys, number, 4), size = size_of(keys, number);
    out = PUT(out, "<Contents><Key>");
    out += key_render(keys, number, encoding, out);
    out = PUT(out, "</Key><LastModified>");
    out = put_time(pages, out, (uint32_t)(chance >> 32));
    out = PUT(out, "</LastModified><ETag>&quot;");
    out = put_etag(keys, number, size, out);
    out = PUT(out, "&quot;</ETag>");
    if (pages->checksums)
        out = PUT(out, "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
                       "<ChecksumType>FULL_OBJECT</ChecksumType>");
    out = PUT(out, "<Size>");
    out = put_decimal(out, size);
    out = PUT(out, "</Size>");
    if (pages->owners)
        out = PUT(out, "<Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"
                       "</ID><DisplayName>load-source</DisplayName></Owner>");
    if ((chance & 255) < 8)
        return PUT(out, "<StorageClass>STANDARD_IA</StorageClass></Contents>");
    if ((chance & 255) < 13)
        return PUT(out, "<StorageClass>GLACIER</StorageClass></Contents>");
    return PUT(out, "<StorageClass>STANDARD</StorageClass></Contents>");
}

static char *put_element(char *out, const char *name, struct text text, enum encoding encoding) {
    out += sprintf(out, "<%s>", name);
    out = put_encoded(out, text, encoding);
    return out + sprintf(out, "</%s>", name);
}

/* A token tells the number of the next key. It is spelt so that clients must escape it. */
static char *put_token(char *out, const char *name, uint64_t number) {
    out += sprintf(out, "<%s>1/", name);
    out = put_hex(out, number);
    return out + sprintf(out, "+=</%s>", name);
}

static bool read_token(struct text token, uint64_t *number) {
    char digits[17] = {0}, *end;
    if (token.length != 20 || memcmp(token.bytes, "1/", 2) || memcmp(token.bytes + 18, "+=", 2))
        return false;
    memcpy(digits, token.bytes + 2, 16);
    *number = strtoull(digits, &end, 16);
    return !*end;
}

static char *put_prologue(const struct pages *pages, const struct query *query, uint64_t found,
                          bool truncated, uint64_t next, char *out) {
    enum encoding encoding = query->url_encoded ? URL : XML;
    uint64_t from;
    out = PUT(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                   "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    out += sprintf(out, "<Name>%s</Name>", pages->bucket);
    out = put_element(out, "Prefix", query->prefix, encoding);
    if (query->start_after.length)
        out = put_element(out, "StartAfter", query->start_after, encoding);
    if (query->token.length && read_token(query->token, &from))
        out = put_token(out, "ContinuationToken", from);
    if (truncated)
        out = put_token(out, "NextContinuationToken", next);
    out += sprintf(out, "<KeyCount>%llu</KeyCount><MaxKeys>%llu</MaxKeys>",
                   (unsigned long long)found, (unsigned long long)query->max_keys);
    if (query->delimiter.length)
        out = put_element(out, "Delimiter", query->delimiter, encoding);
    if (query->url_encoded)
        out = PUT(out, "<EncodingType>url</EncodingType>");
    return out + sprintf(out, "<IsTruncated>%s</IsTruncated>", truncated ? "true" : "false");
}

/* The folder that a key lies in: up to the first delimiter after the prefix; of no length if it
 * lies in none. */
static struct text folder_of(struct text key, const struct query *query) {
    const struct text *delimiter = &query->delimiter;
    const char *rest = key.bytes + query->prefix.length;
    const char *found = memmem(rest, key.length - query->prefix.length, delimiter->bytes,
                               delimiter->length);
    size_t length = found ? (size_t)(found - key.bytes) + delimiter->length : 0;
    return (struct text){key.bytes, length};
}

/* Render the page that a query asks for, somewhere in the room, with room for an HTTP header left
 * before it; false if the token is none of ours. */
bool page_render(const struct pages *pages, const struct query *query, char *room,
                 struct page *page) {
    const struct keys *keys = pages->keys;
    enum encoding encoding = query->url_encoded ? URL : XML;
    uint64_t next = first_key(keys, 0, query->prefix, AT_LEAST), from = 0, found = 0;
    uint64_t end = first_key(keys, next, query->prefix, ABOVE_PREFIX);
    if (query->token.length && !read_token(query->token, &from))
        return false;
    if (!query->token.length && query->start_after.length)
        from = first_key(keys, 0, query->start_after, ABOVE);
    if (from > next)
        next = from;
    page->objects = 0;
    char *contents = room + PROLOGUE_ROOM, *out = contents, *prefixes = pages->prefixes;
    for (; next < end && found < query->max_keys; found++) {
        char bytes[MAX_KEY_BYTES];
        struct text folder = {0};
        if (query->delimiter.length) {
            struct text key = {bytes, key_render(keys, next, RAW, bytes)};
            folder = folder_of(key, query);
        }
        if (folder.length) {
            prefixes = PUT(prefixes, "<CommonPrefixes>");
            prefixes = put_element(prefixes, "Prefix", folder, encoding);
            prefixes = PUT(prefixes, "</CommonPrefixes>");
            next = first_key(keys, next, folder, ABOVE_PREFIX);
        } else {
            out = put_object(pages, next++, encoding, out);
            page->objects++;
        }
    }
    memcpy(out, pages->prefixes, (size_t)(prefixes - pages->prefixes));
    out = PUT(out + (prefixes - pages->prefixes), "</ListBucketResult>");
    char prologue[PROLOGUE_ROOM];
    bool truncated = next < end && query->max_keys;
    char *prologue_end = put_prologue(pages, query, found, truncated, next, prologue);
    size_t length = (size_t)(prologue_end - prologue);
    page->start = memcpy(contents - length, prologue, length);
    page->length = (size_t)(out - page->start);
    return true;
}
