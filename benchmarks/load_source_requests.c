/* The parameters of a request. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "load_source.h"

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 32);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Decode a text in place; in a parameter, a plus is a space, as forms have it. */
static struct text decoded(char *text, bool is_parameter) {
    char *out = text;
    for (char *at = text; *at; at++) {
        if (*at == '%' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
            *out++ = (char)(hex_digit(at[1]) << 4 | hex_digit(at[2]));
            at += 2;
        } else {
            *out++ = is_parameter && *at == '+' ? ' ' : *at;
        }
    }
    return (struct text){text, (size_t)(out - text)};
}

/* Decode a key of a path in place. */
struct text path_key(char *text) {
    return decoded(text, false);
}

/* Read the parameters of a target, which is changed; false if one of them is too long. */
bool read_parameters(char *text, struct request *request) {
    struct text empty = {"", 0};
    *request = (struct request){.query = {empty, empty, empty, empty, MAX_KEYS, false}};
    struct query *query = &request->query;
    for (char *name; (name = strsep(&text, "&"));) {
        char *written = strchr(name, '=');
        if (written)
            *written++ = '\0';
        struct text value = written ? decoded(written, true) : empty;
        if (value.length > MAX_KEY_BYTES)
            return false;
        if (!strcmp(name, "list-type"))
            request->lists = written && *written == '2';
        else if (!strcmp(name, "location"))
            request->locates = true;
        else if (!strcmp(name, "prefix"))
            query->prefix = value;
        else if (!strcmp(name, "start-after"))
            query->start_after = value;
        else if (!strcmp(name, "continuation-token"))
            query->token = value;
        else if (!strcmp(name, "delimiter"))
            query->delimiter = value;
        else if (!strcmp(name, "encoding-type"))
            query->url_encoded = value.length == 3;
        else if (!strcmp(name, "max-keys") && written)
            query->max_keys = strtoull(written, NULL, 10);
    }
    if (query->max_keys > MAX_KEYS)
        query->max_keys = MAX_KEYS;
    return true;
}
