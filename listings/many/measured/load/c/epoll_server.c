/* An echo server on epoll, level-triggered, in one thread. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 16 * 1024, EVENTS = 1024, BACKLOG = 4096 };

/* A connection. It has memory of its own only while something waits. */
struct client {
    int fd;
    size_t start, end; /* what of `waiting` was not sent */
    char *waiting;
};

static int poller, listener, paused;
static int nagle; /* whether small segments may wait for an answer */
static char buffer[BUFFER];

static void watch(int op, int fd, uint32_t events, void *data) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(poller, op, fd, &event) < 0)
        perror("epoll_server: epoll_ctl");
}

static void drop(struct client *client) {
    close(client->fd); /* which also ends the watching */
    free(client->waiting);
    free(client);
    if (paused) { /* there is a descriptor again */
        watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
        paused = 0;
    }
}

static void accept_all(void) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                perror("epoll_server: accept");
                watch(EPOLL_CTL_DEL, listener, 0, NULL);
                paused = 1;
            }
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            return;
        }
        int on = !nagle;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct client *client = calloc(1, sizeof *client);
        if (!client) {
            close(fd);
            continue;
        }
        client->fd = fd;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, client);
    }
}

/* Sends what waits. Reading goes on when nothing does any more. */
static void flush(struct client *client) {
    ssize_t n = send(client->fd, client->waiting + client->start,
                     client->end - client->start, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            drop(client);
        return;
    }
    client->start += n;
    if (client->start == client->end) {
        free(client->waiting);
        client->waiting = NULL;
        watch(EPOLL_CTL_MOD, client->fd, EPOLLIN, client);
    }
}

/* Reads once, and sends at once. epoll tells us again if there is more. */
static void echo(struct client *client) {
    ssize_t n = recv(client->fd, buffer, sizeof buffer, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        drop(client);
        return;
    }
    if (n < 0)
        return;
    ssize_t sent = send(client->fd, buffer, n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop(client);
        return;
    }
    if (sent < 0)
        sent = 0;
    if (sent == n)
        return;
    /* The peer is slow: keep the rest, and read no more until it is gone. */
    client->waiting = malloc(n - sent);
    if (!client->waiting) {
        drop(client);
        return;
    }
    memcpy(client->waiting, buffer + sent, n - sent);
    client->start = 0;
    client->end = n - sent;
    watch(EPOLL_CTL_MOD, client->fd, EPOLLOUT, client);
}

static int fail(const char *addr) {
    fprintf(stderr, "epoll_server: %s: %s\n", addr, strerror(errno));
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    const char *addr = argc > 1 ? argv[1] : "127.0.0.1:7136";
    nagle = argc > 2 && strcmp(argv[2], "nagle") == 0;
    char host[64] = "";
    unsigned port;
    struct sockaddr_in at = {.sin_family = AF_INET};
    if (sscanf(addr, "%63[0-9.]:%5u", host, &port) != 2 || port > 65535 ||
        inet_pton(AF_INET, host, &at.sin_addr) != 1) {
        errno = EINVAL;
        return fail(addr);
    }
    at.sin_port = htons(port);
    signal(SIGPIPE, SIG_IGN);

    int on = 1;
    socklen_t length = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(listener, BACKLOG) < 0 ||
        getsockname(listener, (struct sockaddr *)&at, &length) < 0 ||
        (poller = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return fail(addr);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    printf("listening on %s:%u\n", host, ntohs(at.sin_port));
    fflush(stdout);

    static struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            return fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!client)
                accept_all();
            else if (client->waiting)
                flush(client);
            else
                echo(client);
        }
    }
}
