/* The five lines, with what belongs around them:
 *
 *   cc example.c -ltollkeeper -o example
 *   ./example LICENSE_KEY vendor.pub PRODUCT
 */
#include <stdio.h>
#include <stdlib.h>

#include "tollkeeper.h"

static int failed(tk_error *error) {
    fprintf(stderr, "%d: %s\nFor the end user: %s\n", tk_error_sdk_code(error), tk_error_message(error), tk_error_user_message(error));
    tk_error_free(error);
    return 1;
}

static char *read_text(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 65536);
    if (file == NULL || text == NULL || fread(text, 1, 65535, file) == 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    fclose(file);
    return text;
}

int main(int argc, char **argv) {
    tk_error *error = NULL;
    tk_license *license = NULL;
    if (argc != 4) {
        fprintf(stderr, "usage: %s LICENSE_KEY VENDOR_PUBLIC_KEY_FILE PRODUCT\n", argv[0]);
        return 2;
    }
    char *vendor = read_text(argv[2]);
    tk_settings *settings = tk_settings_new();
    tk_settings_set(settings, "vendorPublicKey", vendor, NULL); /* an SDK has it compiled in */
    tk_settings_set(settings, "licenseKey", argv[1], NULL);
    tk_settings_set(settings, "product", argv[3], NULL);
    int code = tk_initialize(settings, NULL, &license, &error);
    tk_settings_free(settings);
    free(vendor);
    if (code != 0) return failed(error);

    if (tk_record(license, "QR Code", 1, &error) != 0) return failed(error); /* at every scan */
    char *status = NULL;
    if (tk_status(license, &status, &error) != 0) return failed(error);
    puts(status);
    tk_string_free(status);
    tk_close(license);
    return 0;
}
