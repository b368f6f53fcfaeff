/* An S3 server that lists one bucket of any size, and answers HEAD for each of its keys, and holds
 * none of it: the load of the benchmarks.
 *
 * Keys and their attributes are functions of a number, so a page costs little more than sending it.
 * One thread waits for all connections with epoll, edge-triggered. Signatures are not checked.
 * The port is printed, as a line, when it listens. `load_source.py` builds and starts it.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load_source.h"

enum { REQUEST_ROOM = 16384, EVENTS = 64 };

struct connection {
    int socket;
    bool waiting, last, resets;         /* for the latency; then close; then reset */
    bool counts;                        /* among the requests that wait */
    struct connection *before, *after;  /* among those that wait, in the order of their turn */
    int64_t due;                        /* nanoseconds */
    char *room, *rest;                  /* the answer that is being sent */
    size_t left;
    size_t received;
    char request[REQUEST_ROOM + 1];
};

struct room {                           /* lent to an answer until it is sent */
    struct room *next;
};

struct server {
    struct keys keys;
    struct pages pages;
    int64_t latency;
    double errors, resets;
    uint64_t requests, listed;
    unsigned waiting, most_waiting;     /* requests that wait for the latency */
    int epoll, listener;
    struct connection *first, *last;
    struct room *rooms;
};

struct answer {
    int status;
    char *start;
    size_t length;
    const char *headers;                /* of an object, instead of those of a document */
};

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static char *borrow_room(struct server *server) {
    struct room *room = server->rooms;
    if (room)
        server->rooms = room->next;
    else if (!(room = malloc(PAGE_ROOM)))
        give_up("out of memory", NULL);
    return (char *)room;
}

static void return_room(struct server *server, char *bytes) {
    struct room *room = (struct room *)bytes;
    room->next = server->rooms;
    server->rooms = room;
}

/* Answers */

static struct answer document(int status, const char *code, const char *message, char *room) {
    char *start = room + PROLOGUE_ROOM;
    int length = sprintf(start, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code>"
                         "<Message>%s</Message></Error>", code, message);
    return (struct answer){status, start, (size_t)length};
}

static struct answer plain(const char *body, const char *bucket, char *room) {
    char *start = room + PROLOGUE_ROOM;
    return (struct answer){200, start, (size_t)sprintf(start, body, bucket)};
}

static struct answer listing(struct server *server, const struct query *query, char *room) {
    struct page page;
    if (!page_render(&server->pages, query, room, &page))
        return document(400, "InvalidArgument", "The continuation token is not ours", room);
    server->listed += page.objects;
    return (struct answer){200, page.start, page.length};
}

static struct answer tally(const struct server *server, char *room) {
    char *start = room + PROLOGUE_ROOM;
    int length = sprintf(start, "%llu %llu %u\n", (unsigned long long)server->requests,
                         (unsigned long long)server->listed, server->most_waiting);
    return (struct answer){200, start, (size_t)length};
}

static bool chance(struct server *server, double fraction, unsigned stream) {
    uint64_t bits = mixed(mixed(server->keys.seed + stream) + server->requests);
    return (double)(bits >> 11) * 0x1p-53 < fraction;
}

static struct answer answer_to(struct server *server, char *method, char *target, char *room) {
    const char *bucket = server->pages.bucket;
    char *path = strsep(&target, "?"), *key = "";
    struct request request;
    if (!strcmp(path, "/.tally"))
        return tally(server, room);
    server->requests++;
    if (chance(server, server->errors, 1))
        return document(503, "SlowDown", "Please reduce your request rate.", room);
    if (strcmp(method, "GET") && strcmp(method, "HEAD"))
        return document(405, "MethodNotAllowed", "This bucket can only be listed", room);
    if (!read_parameters(target, &request))
        return document(400, "InvalidArgument", "A parameter is longer than 1,024 bytes", room);
    path += *path == '/';
    if (*path) {
        char *name = strsep(&path, "/");
        key = path ? path : "";
        if (strcmp(name, bucket))
            return document(404, "NoSuchBucket", "The specified bucket does not exist", room);
    } else if (!request.lists) {
        return plain("<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                     "<Buckets><Bucket><Name>%s</Name><CreationDate>2023-10-01T00:00:00.000Z"
                     "</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>", bucket, room);
    }
    if (*key && !strcmp(method, "HEAD")) {
        char *end = object_headers(&server->pages, path_key(key), room);
        if (end) {
            *end = '\0';
            return (struct answer){200, room + PROLOGUE_ROOM, 0, room};
        }
    }
    if (*key)
        return document(404, "NoSuchKey", "The objects of this bucket cannot be read", room);
    if (request.lists)
        return listing(server, &request.query, room);
    if (request.locates)
        return plain("<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>",
                     bucket, room);
    if (!strcmp(method, "HEAD"))
        return plain("", bucket, room);
    return document(501, "NotImplemented", "Only ListObjectsV2 is known (list-type=2)", room);
}

/* Connections */

static void unlink_waiting(struct server *server, struct connection *connection) {
    *(connection->before ? &connection->before->after : &server->first) = connection->after;
    *(connection->after ? &connection->after->before : &server->last) = connection->before;
    connection->before = connection->after = NULL;
    connection->waiting = false;
    server->waiting -= connection->counts;
}

static void end(struct server *server, struct connection *connection) {
    if (connection->waiting)
        unlink_waiting(server, connection);
    if (connection->room)
        return_room(server, connection->room);
    close(connection->socket);
    free(connection);
}

/* Send what is left of the answer; false if the connection has ended. */
static bool send_rest(struct server *server, struct connection *connection) {
    while (connection->left) {
        ssize_t sent = send(connection->socket, connection->rest, connection->left, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR)
                return true;
            end(server, connection);
            return false;
        }
        connection->rest += sent;
        connection->left -= (size_t)sent;
    }
    return_room(server, connection->room);
    connection->room = NULL;
    if (!connection->last)
        return true;
    if (connection->resets)
        setsockopt(connection->socket, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
                   sizeof(struct linger));
    end(server, connection);
    return false;
}

/* Answer the request that has arrived and waited; false if the connection has ended. */
static bool answer(struct server *server, struct connection *connection) {
    char *request = connection->request, *rest = strstr(request, "\r\n\r\n") + 4;
    rest[-2] = '\0';
    char *line = strsep(&request, "\r"), *headers = request;
    char *method = strsep(&line, " "), *target = strsep(&line, " ");
    bool head = !strcmp(method, "HEAD");
    connection->last = strcasestr(headers, "\nconnection: close") != NULL;
    connection->room = borrow_room(server);
    struct answer answer = answer_to(server, method, target ? target : method, connection->room);
    connection->last |= answer.status == 405;   /* whose body, if any, is not read */
    char header[2048], *end = header;
    end += sprintf(end, "HTTP/1.1 %d %s\r\nServer: AmazonS3\r\nx-amz-request-id: %016llX\r\n"
                   "x-amz-bucket-region: us-east-1\r\n", answer.status,
                   answer.status == 200 ? "OK" : answer.status == 503 ? "Slow Down" : "Error",
                   (unsigned long long)server->requests);
    end += answer.headers
        ? sprintf(end, "%s\r\n", answer.headers)
        : sprintf(end, "Content-Type: application/xml\r\nContent-Length: %zu\r\n\r\n",
                  head ? 0 : answer.length);
    size_t size = (size_t)(end - header);
    connection->rest = memcpy(answer.start - size, header, size);
    connection->left = size + (head ? 0 : answer.length);
    if (answer.status == 200 && chance(server, server->resets, 2)) {
        connection->last = connection->resets = true;
        connection->left = size + answer.length / 2;
    }
    connection->received -= (size_t)(rest - connection->request);
    memmove(connection->request, rest, connection->received);
    connection->request[connection->received] = '\0';
    return send_rest(server, connection);
}

static void wait_for_turn(struct server *server, struct connection *connection) {
    connection->waiting = true;
    connection->counts = strncmp(connection->request, "GET /.tally ", 12) != 0;
    server->waiting += connection->counts;
    if (server->waiting > server->most_waiting)
        server->most_waiting = server->waiting;
    connection->due = now() + server->latency;
    connection->before = server->last;
    *(server->last ? &server->last->after : &server->first) = connection;
    server->last = connection;
}

/* Answer, or let wait, what has arrived. */
static void proceed(struct server *server, struct connection *connection) {
    while (!connection->room && !connection->waiting && connection->received &&
           strstr(connection->request, "\r\n\r\n")) {
        if (server->latency)
            wait_for_turn(server, connection);
        else if (!answer(server, connection))
            return;
    }
}

static void on_event(struct server *server, struct connection *connection, uint32_t events) {
    if (events & EPOLLIN) {
        size_t space = REQUEST_ROOM - connection->received;
        char *at = connection->request + connection->received;
        ssize_t size = recv(connection->socket, at, space, 0);
        if (size == 0 || (size < 0 && errno != EAGAIN) || (size_t)size == space) {
            end(server, connection);    /* gone, broken, or a request too long */
            return;
        }
        connection->received += size > 0 ? (size_t)size : 0;
        connection->request[connection->received] = '\0';
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        end(server, connection);
        return;
    }
    if (connection->room && !send_rest(server, connection))
        return;
    proceed(server, connection);
}

static void accept_all(struct server *server) {
    for (int fd; (fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        struct connection *connection = malloc(sizeof *connection);
        memset(connection, 0, offsetof(struct connection, request) + 1);
        connection->socket = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET, {.ptr = connection}};
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

/* Answer those whose latency has passed; the milliseconds until the next, or -1. */
static int answer_due(struct server *server) {
    while (server->first) {
        int64_t remaining = server->first->due - now();
        if (remaining > 0)
            return (int)((remaining + 999999) / 1000000);
        struct connection *connection = server->first;
        unlink_waiting(server, connection);
        if (answer(server, connection))
            proceed(server, connection);
    }
    return -1;
}

static void serve(struct server *server, bool attended) {
    struct epoll_event events[EVENTS], event = {EPOLLIN, {.ptr = NULL}};
    server->epoll = epoll_create1(0);
    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event);
    event.data.ptr = server;
    if (attended && epoll_ctl(server->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event))
        give_up("standard input cannot be watched", strerror(errno));
    for (;;) {
        int count = epoll_wait(server->epoll, events, EVENTS, answer_due(server));
        for (int at = 0; at < count; at++) {
            if (events[at].data.ptr == server)
                return;
            if (events[at].data.ptr)
                on_event(server, events[at].data.ptr, events[at].events);
            else
                accept_all(server);
        }
    }
}

static int listen_on(const char *host, uint16_t port) {
    struct sockaddr_in address = {AF_INET, htons(port), {0}, {0}};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        give_up("not an IPv4 address", host);
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, SOMAXCONN))
        give_up("cannot listen", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    static const struct option OPTIONS[] = {
        {"shape", 1, 0, 's'}, {"count", 1, 0, 'n'}, {"names", 1, 0, 'f'}, {"seed", 1, 0, 'r'},
        {"latency", 1, 0, 'l'}, {"errors", 1, 0, 'e'}, {"reset", 1, 0, 'x'}, {"port", 1, 0, 'p'},
        {"host", 1, 0, 'h'}, {"checksums", 0, 0, 'c'}, {"owners", 0, 0, 'o'}, {"attended", 0, 0, 'a'},
        {0}};
    struct server server = {.pages = {.keys = &server.keys, .bucket = "bench"}};
    const char *shape = "flat", *names = NULL, *host = "127.0.0.1";
    uint64_t count = 1000000, seed = 0;
    uint16_t port = 0;
    bool attended = false;
    for (int option; (option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
        switch (option) {
        case 's': shape = optarg; break;
        case 'n': count = strtoull(optarg, NULL, 10); break;
        case 'f': names = optarg; break;
        case 'r': seed = strtoull(optarg, NULL, 10); break;
        case 'l': server.latency = (int64_t)(strtod(optarg, NULL) * 1e6); break;
        case 'e': server.errors = strtod(optarg, NULL); break;
        case 'x': server.resets = strtod(optarg, NULL); break;
        case 'p': port = (uint16_t)atoi(optarg); break;
        case 'h': host = optarg; break;
        case 'c': server.pages.checksums = true; break;
        case 'o': server.pages.owners = true; break;
        case 'a': attended = true; break;   /* end when standard input ends */
        default: return 2;
        }
    keys_open(&server.keys, shape, count, seed, names);
    pages_open(&server.pages);
    server.listener = listen_on(host, port);
    serve(&server, attended);
    return 0;
}
