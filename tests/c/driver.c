/* Does what it is told, one line at a time, through the C interface: the tests tell it. Each
 * command is answered by one line, "0" or "0 TEXT", or "CODE MESSAGE". What listeners hear comes
 * in between as lines that begin with "event". */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "tollkeeper.h"

static tk_settings *settings;
static tk_license *license;
static tk_deduplicator *deduplicator;

static void on_change(void *context, int32_t code, const char *message, int64_t expires_at) {
    ++*(int *)context;
    printf("event changed %d %lld %s\n", code, (long long)expires_at, message);
}

static void on_report(void *context, uint64_t accepted, uint64_t duplicate, uint64_t rejected) {
    ++*(int *)context;
    printf("event report %llu %llu %llu\n", (unsigned long long)accepted, (unsigned long long)duplicate, (unsigned long long)rejected);
}

static void on_warning(void *context, int32_t code, const char *message) {
    ++*(int *)context;
    printf("event warning %d %s\n", code, message);
}

static void answer(int32_t code, tk_error *error, char *text) {
    if (code != 0) {
        printf("%d %s | %s\n", code, tk_error_message(error), tk_error_user_message(error));
        if (tk_error_sdk_code(error) != code || tk_error_code(error) != -code - 20000) exit(3);
    } else if (text != NULL) {
        for (char *c = text; *c != 0; c++) {
            if (*c == '\n') *c = '~';
        }
        printf("0 %s\n", text);
    } else {
        printf("0\n");
    }
    tk_error_free(error);
    tk_string_free(text);
}

static char *read_file(const char *path) {
    static char text[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t length = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    text[length] = 0;
    if (file != NULL) fclose(file);
    return text;
}

static void *renew_for_ever(void *unused) {
    (void)unused;
    for (;;) tk_renew(license, NULL);
    return NULL;
}

/* A byte for every unit before it is counted, with idle times in between, until somebody kills us. */
static void work_for_ever(int is_renewing) {
    struct timespec pause = {0, 500000}, idle = {1, 200000000};
    pthread_t thread;
    if (is_renewing && pthread_create(&thread, NULL, renew_for_ever, NULL) != 0) exit(6);
    for (unsigned done = 1;; done++) {
        if (fputc('+', stdout) == EOF || fflush(stdout) != 0) exit(1);
        if (tk_record(license, "QR Code", 1, NULL) != 0) exit(4);
        nanosleep(done % 200 == 0 ? &idle : &pause, NULL);
    }
}

static void wake(int number) { (void)number; }

static void *flush(void *unused) {
    (void)unused;
    tk_flush(license, NULL);
    return NULL;
}

/* Signals a thread that waits for the data folder's lock, which we hold as another process may. */
static void interrupt(const char *lock_path) {
    struct sigaction action;
    struct timespec pause = {0, 200000000};
    pthread_t thread;
    FILE *file = fopen(lock_path, "r+");
    memset(&action, 0, sizeof action);
    action.sa_handler = wake;
    if (file == NULL || sigaction(SIGUSR1, &action, NULL) != 0 || flock(fileno(file), LOCK_EX) != 0) exit(6);
    if (pthread_create(&thread, NULL, flush, NULL) != 0) exit(6);
    for (int i = 0; i < 5; i++) {
        nanosleep(&pause, NULL);
        if (pthread_kill(thread, SIGUSR1) != 0) exit(6);
    }
    flock(fileno(file), LOCK_UN);
    pthread_join(thread, NULL);
    fclose(file);
}

int main(void) {
    static char line[1 << 20];
    int heard = 0;
    settings = tk_settings_new();
    while (fflush(stdout) == 0 && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        char *rest = strchr(line, ' ');
        if (rest != NULL) *rest++ = 0;
        char *more = rest == NULL ? NULL : strchr(rest, ' ');
        tk_error *error = NULL;
        char *text = NULL;
        int32_t code = 0;
        tk_listeners listeners = {&heard, on_change, on_report, on_warning};
        if (strcmp(line, "set") == 0 || strcmp(line, "set-file") == 0) {
            if (more != NULL) *more++ = 0;
            code = tk_settings_set(settings, rest, more == NULL ? NULL : line[3] == 0 ? more : read_file(more), &error);
        } else if (strcmp(line, "initialize") == 0) {
            code = tk_initialize(settings, &listeners, &license, &error);
        } else if (strcmp(line, "start") == 0) {
            code = tk_start(settings, NULL, &license, &error);
        } else if (strcmp(line, "close") == 0) {
            tk_close(license);
            license = NULL;
        } else if (strcmp(line, "release") == 0) {
            code = tk_release(license, &error);
            license = NULL;
        } else if (strcmp(line, "check") == 0) {
            code = tk_check(license, rest, &error);
        } else if (strcmp(line, "record") == 0 && more != NULL) {
            *more++ = 0;
            code = tk_record(license, more, strtoull(rest, NULL, 10), &error);
        } else if (strcmp(line, "record-page") == 0 && more != NULL) {
            *more++ = 0;
            code = tk_record_at(license, "scanned", strtoull(rest, NULL, 10), "page", more, 0, &error);
        } else if (strcmp(line, "record-at") == 0 && more != NULL) {
            *more++ = 0;
            code = tk_record_at(license, more, 1, NULL, NULL, strtoll(rest, NULL, 10), &error);
        } else if (strcmp(line, "take") == 0) {
            code = tk_take_instances(license, (uint32_t)atoi(rest), &error);
        } else if (strcmp(line, "give") == 0) {
            code = tk_give_back_instances(license, (uint32_t)atoi(rest), &error);
        } else if (strcmp(line, "idle") == 0) {
            printf("%u\n", tk_idle_instances(license));
            continue;
        } else if (strcmp(line, "flush") == 0) {
            code = tk_flush(license, &error);
        } else if (strcmp(line, "renew") == 0) {
            code = tk_renew(license, &error);
        } else if (strcmp(line, "status") == 0) {
            code = tk_status(license, &text, &error);
        } else if (strcmp(line, "request") == 0) {
            code = tk_request_file(settings, 0, &text, &error);
        } else if (strcmp(line, "request-line") == 0) {
            code = tk_request_file(settings, 1, &text, &error);
        } else if (strcmp(line, "import") == 0) {
            code = tk_import_authorization(settings, read_file(rest), &error);
        } else if (strcmp(line, "report-file") == 0) {
            code = tk_report_file(license, &text, &error);
        } else if (strcmp(line, "import-receipt") == 0) {
            code = tk_import_receipt(license, read_file(rest), &error);
        } else if (strcmp(line, "seen") == 0 && more != NULL) {
            if (deduplicator == NULL) deduplicator = tk_deduplicator_new(0);
            *more++ = 0;
            printf("%d\n", tk_deduplicator_is_new(deduplicator, "QR", more, strtoull(rest, NULL, 10)));
            continue;
        } else if (strcmp(line, "vector") == 0 && more != NULL) {
            *more++ = 0;
            code = tk_check_vector(rest, more, &text, &error);
        } else if (strcmp(line, "nonsense") == 0) {
            /* Whatever is NULL is told, and nothing is followed. */
            code = tk_check(NULL, NULL, &error);
            if (tk_initialize(NULL, NULL, &license, NULL) != code || tk_initialize(settings, NULL, NULL, NULL) != code) exit(5);
            if (tk_record(license, NULL, 1, NULL) != code || tk_status(NULL, NULL, NULL) != code || tk_deduplicator_is_new(NULL, "", "", 0) != code) exit(5);
            if (tk_release(NULL, NULL) != code) exit(5);
            if (tk_check_vector(NULL, "{}", &text, NULL) != code || tk_check_vector("slots", NULL, &text, NULL) != code) exit(5);
            if (tk_check_vector("slots", "{\"at\":\"2026-11-22T05:03:00Z\"}", NULL, NULL) != code || tk_check_vector("x", "{}", &text, NULL) != code) exit(5);
            tk_close(NULL), tk_error_free(NULL), tk_string_free(NULL), tk_settings_free(NULL), tk_deduplicator_free(NULL);
            if (tk_error_message(NULL) != NULL || tk_idle_instances(NULL) != 0 || strlen(tk_version()) == 0) exit(5);
            if (tk_settings_set(settings, "product", "\xff\xfe", NULL) != code) exit(5);
        } else if (strcmp(line, "interrupt") == 0) {
            interrupt(rest);
        } else if (strcmp(line, "cpu") == 0) {
            printf("%ld\n", (long)(clock() / (CLOCKS_PER_SEC / 1000)));
            continue;
        } else if (strcmp(line, "work") == 0) {
            work_for_ever(rest != NULL);
        } else {
            printf("-1 what is '%s'?\n", line);
            continue;
        }
        answer(code, error, text);
    }
    tk_close(license);
    tk_settings_free(settings);
    tk_deduplicator_free(deduplicator);
    return 0;
}
