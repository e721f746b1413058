/* Tollkeeper: the license of an application. Generated from src/client/ffi.rs.
 *
 * Nothing here is global. Every handle belongs to the caller, and one function frees it; NULL is never
 * followed. Texts are UTF-8 ending in zero. A function returns 0, or the negative number that applications show,
 * -(20000 + code); then *error, unless error is NULL, is an error to be freed by tk_error_free. */

#ifndef TOLLKEEPER_H
#define TOLLKEEPER_H

#include <stdint.h>

/*
 Which barcodes of a video stream count: made by tk_deduplicator_new, freed by
 tk_deduplicator_free. One thread at a time.
 */
typedef struct tk_deduplicator tk_deduplicator;

/*
 An error: made by a function that failed, freed by tk_error_free.
 */
typedef struct tk_error tk_error;

/*
 A license: made by tk_initialize or tk_start, ended by tk_close or tk_release. Any thread
 may use it at any time. After fork the child must not use it, not even to end it: the threads
 of the library are not in the child.
 */
typedef struct tk_license tk_license;

/*
 Settings of an application: made by tk_settings_new, freed by tk_settings_free.
 */
typedef struct tk_settings tk_settings;

/*
 What the application wants to hear of; any function may be NULL. They are called on a thread
 of the license's own, one at a time, the first ones soon after tk_initialize returned or even
 before; the last ones before tk_close or tk_release returns, which therefore must not be called while a
 lock is held that a listener takes. A listener may call every function: tk_renew and tk_release return
 at once there, and are carried out afterwards. The texts are valid during the call.
 */
typedef struct tk_listeners {
  /*
   Given to each of them.
   */
  void *context;
  /*
   The license is another than before: sdk_code is 0 when there is one, and why not otherwise;
   expires_at is in seconds since 1970, 0 when there is none.
   */
  void (*license_changed)(void *context, int32_t sdk_code, const char *message, int64_t expires_at);
  /*
   A server answered to usage reports: how many it took, had before, and will never take.
   */
  void (*report_sent)(void *context, uint64_t accepted, uint64_t duplicate, uint64_t rejected);
  /*
   Something is wrong that does not stop the application.
   */
  void (*warning)(void *context, int32_t sdk_code, const char *message);
} tk_listeners;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The version of this library, such as "1.2.0". Not to be freed.
 */
const char *tk_version(void);

/*
 New settings: set at least vendorPublicKey, product, and licenseKey.
 */
struct tk_settings *tk_settings_new(void);

/*
 Frees settings; a license that was made with them goes on.
 */
void tk_settings_free(struct tk_settings *settings);

/*
 Sets one setting by its name: licenseKey, vendorPublicKey, product, mainServerURL,
 standbyServerURL, organizationId, handshakeCode, sessionPassword, certificateAuthority, productKey,
 productVersion, edition, deploymentType, limitedModules (separated by commas), chargeWay, instances,
 maxBufferDays, uuidMethod (random, hardware), dataFolder, applicationId, processName, sealed (true,
 false), flushSeconds, releaseOnClose (instances, seat, nothing: see tk_close). An empty value takes the
 setting back.
 */
int32_t tk_settings_set(struct tk_settings *settings, const char *name, const char *value, struct tk_error **error);

/*
 Gets the license: asks the servers, else takes the authorization of before, or product keys. Waits for
 the servers, at most 20 seconds each. listeners may be NULL.
 */
int32_t tk_initialize(const struct tk_settings *settings,
                      const struct tk_listeners *listeners,
                      struct tk_license **license,
                      struct tk_error **error);

/*
 The same, but there is a license handle also when there is no license yet: it is asked for again and
 again, and license_changed tells. See tk_check.
 */
int32_t tk_start(const struct tk_settings *settings,
                 const struct tk_listeners *listeners,
                 struct tk_license **license,
                 struct tk_error **error);

/*
 Ends the handle: what was counted is on disk when it returns. When no other process of the machine uses the license, it
 is given back as releaseOnClose says: with "instances", or when it is not set, the instances of a license of
 concurrent_instance, so that another machine may have them at once; with "seat" whatever the license is charged by;
 with "nothing" nothing. Then what was done is reported first. Named seats are kept unless "seat" is set, because they
 last for their period, and because the device must be able to start again with no network. It waits for servers about 3
 seconds in all, and never fails: if none can be reached, everything stays as it was; if only the answer does not come,
 the server may have taken the license back while this device keeps its authorization until that ends. All applications
 of a machine that share a license set the same: the one that ends last decides. When it returns, no listener
 is called any more; within a listener it returns at once, that listener is the last one, and what is to be given back is
 given back afterwards. A thread of the library that waits for a silent server may go on until it answers: do not unload
 the library. User interfaces call tk_close on another thread.
 */
void tk_close(struct tk_license *license);

/*
 Gives the license back: reports what was done, then frees the seat or the instances for another device.
 Ends the handle, whatever it returns; if it fails, the seat is held as before and what was counted is kept:
 initialize again, and release when a server can be reached. Within a listener it returns 0 at once, and that listener is
 the last one that is called.
 */
int32_t tk_release(struct tk_license *license, struct tk_error **error);

/*
 Whether this module is licensed now, or with NULL the product at all. Asks nobody: call it at every use.
 */
int32_t tk_check(const struct tk_license *license, const char *module, struct tk_error **error);

/*
 Counts use that was done just now: kind is the barcode's format, or scanned, captured, imported of pages; count
 is at least 1.
 */
int32_t tk_record(const struct tk_license *license, const char *kind, uint64_t count, struct tk_error **error);

/*
 Counts use: unit is scan or page, NULL for what the license is about; module processed the pages, may be
 NULL; at is when it was done, seconds since 1970, 0 for now.
 */
int32_t tk_record_at(const struct tk_license *license,
                     const char *kind,
                     uint64_t count,
                     const char *unit,
                     const char *module,
                     int64_t at,
                     struct tk_error **error);

/*
 Takes instances, as many as are granted to this machine and not held by another of its processes. They are
 reported in each slot of three minutes in which this machine reports use.
 */
int32_t tk_take_instances(const struct tk_license *license, uint32_t number, struct tk_error **error);

/*
 Gives instances back.
 */
int32_t tk_give_back_instances(const struct tk_license *license, uint32_t number, struct tk_error **error);

/*
 Instances that are granted to this machine and that nobody holds; 0 for NULL.
 */
uint32_t tk_idle_instances(const struct tk_license *license);

/*
 Puts what was counted on disk now.
 */
int32_t tk_flush(const struct tk_license *license, struct tk_error **error);

/*
 Asks the servers now, as at the start, and sends what was not sent. Waits for them.
 */
int32_t tk_renew(const struct tk_license *license, struct tk_error **error);

/*
 What the application may do now, as JSON: licensed, origin (server, kept, carried, product_key), server,
 expires_at, handshake_code, client_uuid, instances, code, sdk_code, message, failures. Free the text with
 tk_string_free.
 */
int32_t tk_status(const struct tk_license *license, char **json, struct tk_error **error);

/*
 The request of a device without network, to be carried to the server; with as_line not 0 as one line for a
 QR code. Free the text with tk_string_free.
 */
int32_t tk_request_file(const struct tk_settings *settings, int32_t as_line, char **text, struct tk_error **error);

/*
 Takes the authorization that was carried here; tk_initialize with the same settings then finds it.
 */
int32_t tk_import_authorization(const struct tk_settings *settings, const char *text, struct tk_error **error);

/*
 Everything that was done and not acknowledged, as a file to be carried to the server; NULL when there is
 nothing. Free the text with tk_string_free.
 */
int32_t tk_report_file(const struct tk_license *license, char **text, struct tk_error **error);

/*
 Takes the receipt for carried reports: what the server has is not kept any more.
 */
int32_t tk_import_receipt(const struct tk_license *license, const char *text, struct tk_error **error);

/*
 The code of domain-specific failures, such as 120; 0 for NULL.
 */
int32_t tk_error_code(const struct tk_error *error);

/*
 The number to show, -(20000 + code); 0 for NULL.
 */
int32_t tk_error_sdk_code(const struct tk_error *error);

/*
 For the developer: what happened, which value, what to do. Valid until the error is freed; NULL for NULL.
 */
const char *tk_error_message(const struct tk_error *error);

/*
 What to tell the end user. Valid until the error is freed; NULL for NULL.
 */
const char *tk_error_user_message(const struct tk_error *error);

/*
 Frees an error.
 */
void tk_error_free(struct tk_error *error);

/*
 Frees a text that a function gave.
 */
void tk_string_free(char *text);

/*
 Runs one case of the test vectors that all client libraries share, for tests of a port or of a build: it needs no
 license and no network, and changes nothing. kind is carried, chains, errors, license_keys, product_keys, sealed or slots;
 the case is JSON with what its file says beside the cases in it. What this library says about it is JSON, to be compared
 with the case: result, which is "ok" or the code or name of the failure, and what the case has under the same name. Free
 the text with tk_string_free.
 */
int32_t tk_check_vector(const char *kind, const char *case_json, char **result_json, struct tk_error **error);

/*
 A barcode counts again after so many milliseconds; with 0 after 3000.
 */
struct tk_deduplicator *tk_deduplicator_new(uint64_t pause_milliseconds);

/*
 1 when a barcode seen at this time (milliseconds of any clock that goes forward, the same for all of one
 frame) counts, 0 when it does not, negative when an argument is NULL or no text.
 */
int32_t tk_deduplicator_is_new(struct tk_deduplicator *deduplicator, const char *format, const char *text, uint64_t at_milliseconds);

/*
 Frees a deduplicator.
 */
void tk_deduplicator_free(struct tk_deduplicator *deduplicator);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TOLLKEEPER_H */
