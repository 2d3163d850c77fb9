/*
 * What a program is told of servers that are not there, say nothing, or are busy: PROGRAM. Prints the codes that it saw, and how long a
 * cancelled call waited for a server that says nothing.
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static unsigned seen[16];

static void expect(emotion_llama_status *status, unsigned code, const char *name, const char *words) {
    if (code < 16) seen[code]++;
    EXPECT(status, code, name, words);
}

/* A port of this machine that takes connections, which nobody answers; the options to open it go to `options`. */
static int silent_server(const char *more) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(server >= 0 && bind(server, (struct sockaddr *)&address, sizeof address) == 0 && listen(server, 8) == 0);
    CHECK(getsockname(server, (struct sockaddr *)&address, &length) == 0);
    snprintf(options, sizeof options, "{\"source\": \"http://127.0.0.1:%u\"%s}", (unsigned)ntohs(address.sin_port), more);
    return server;
}

/* Answers every request that it has too much to do, until its socket is shut down. */
static void *refuse(void *server) {
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (;;) {
        char question[4096];
        int client = accept(*(int *)server, NULL, NULL);
        if (client < 0) return NULL;
        if (read(client, question, sizeof question) > 0) {
            CHECK(write(client, answer, sizeof answer - 1) == (ssize_t)sizeof answer - 1);
        }
        close(client);
    }
}

struct waiter {
    emotion_llama_cancel *cancel;
    double asked;
};

static void *cancel_later(void *argument) {
    struct waiter *waiter = argument;
    pause_ms(200);
    waiter->asked = milliseconds();
    emotion_llama_cancel_request(waiter->cancel);
    return NULL;
}

int main(void) {
    emotion_llama_engine *none = NULL;
    struct waiter waiter = {NULL, 0};
    pthread_t thread;
    int server = silent_server("");

    close(server);
    expect(emotion_llama_engine_open(options, NULL, NULL, NULL, &none), 11, "unreachable", "127.0.0.1");

    server = silent_server(", \"timeout_s\": 0.3");
    expect(emotion_llama_engine_open(options, NULL, NULL, NULL, &none), 9, "timeout", "127.0.0.1");
    close(server);

    server = silent_server("");
    SUCCEED(emotion_llama_cancel_new(&waiter.cancel));
    CHECK(pthread_create(&thread, NULL, cancel_later, &waiter) == 0);
    expect(emotion_llama_engine_open(options, waiter.cancel, NULL, NULL, &none), 8, "cancelled", "");
    printf("a server that says nothing: cancelled after %.1f ms\n", milliseconds() - waiter.asked);
    CHECK(pthread_join(thread, NULL) == 0);
    emotion_llama_cancel_free(waiter.cancel);
    close(server);

    server = silent_server("");
    CHECK(pthread_create(&thread, NULL, refuse, &server) == 0);
    expect(emotion_llama_engine_open(options, NULL, NULL, NULL, &none), 7, "overloaded", "127.0.0.1");
    shutdown(server, SHUT_RDWR);
    CHECK(pthread_join(thread, NULL) == 0);
    close(server);
    CHECK(none == NULL);

    printf("codes seen:");
    for (unsigned code = 1; code < 16; code++) {
        if (seen[code] > 0) printf(" %u (%u times)", code, seen[code]);
    }
    printf("\n");
    return 0;
}
