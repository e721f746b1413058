/* Tollkeeper for Objective-C: see TKLicense.h. */

#import "TKLicenseInternal.h"

#include <pthread.h>

/** A license of the C library: ended once, and not while a call of another thread is under way. */
@interface TKHandle : NSObject {
    NSCondition *_idle;
    tk_license *_license;
    NSUInteger _busy;
    BOOL _isEnded;
    /** Held while the delegate is called. */
    NSRecursiveLock *_telling;
#if __has_feature(objc_arc)
    __unsafe_unretained
#endif
    id<TKLicenseVerificationDelegate> _delegate;
    pthread_t _listener;
    BOOL _isListening;
    /** The delegate is not called any more. */
    BOOL _isSilent;
    /** What the delegate heard last, and whether it heard anything yet. */
    NSInteger _told;
}
- (void)hearStatus;
- (void)hearAccepted:(uint64_t)accepted duplicate:(uint64_t)duplicate rejected:(uint64_t)rejected;
- (void)hearWarning:(NSError *)warning;
@end

static void changed(void *context, int32_t sdkCode, const char *message, int64_t expiresAt) {
    (void)sdkCode, (void)message, (void)expiresAt;
    TK_WITH_POOL([TK_BRIDGE(TKHandle *, context) hearStatus])
}

static void reported(void *context, uint64_t accepted, uint64_t duplicate, uint64_t rejected) {
    TK_WITH_POOL([TK_BRIDGE(TKHandle *, context) hearAccepted:accepted duplicate:duplicate rejected:rejected])
}

static void warned(void *context, int32_t sdkCode, const char *message) {
    TK_WITH_POOL(
        NSString *told = [NSString stringWithUTF8String:message];
        [TK_BRIDGE(TKHandle *, context) hearWarning:TKErrorWith(-sdkCode - 20000, told, told)];
    )
}

typedef int32_t (*TKBeginning)(const tk_settings *, const tk_listeners *, tk_license **, tk_error **);
/** Nothing was told yet; else it is a code, 0 for a license. */
static const NSInteger TKNothingTold = -1;

@implementation TKHandle

- (instancetype)init {
    if ((self = [super init])) {
        _idle = [[NSCondition alloc] init];
        _telling = [[NSRecursiveLock alloc] init];
        _told = TKNothingTold;
    }
    return self;
}

- (void)dealloc {
    TK_RELEASE(_idle);
    TK_RELEASE(_telling);
    TK_DEALLOC;
}

- (BOOL)begin:(TKBeginning)function settings:(TKLicenseSettings *)settings error:(NSError **)error {
    tk_settings *opened = [settings openAndReturnError:error];
    if (opened == NULL) return NO;
    tk_listeners listeners = {TK_BRIDGE(void *, self), changed, reported, warned};
    tk_error *failure = NULL;
    tk_license *license = NULL;
    function(opened, &listeners, &license, &failure);
    tk_settings_free(opened);
    if (!TKSucceeded(failure, error)) return NO;
    [_idle lock];
    BOOL isForgotten = _isEnded;
    if (!isForgotten) _license = license;
    [_idle unlock];
    // It was closed before it began.
    if (isForgotten) tk_close(license);
    return YES;
}

- (void)listen:(BOOL)isListening {
    [_idle lock];
    _listener = pthread_self();
    _isListening = isListening;
    [_idle unlock];
}

/** Whether the delegate is to be called, until endTelling. */
- (BOOL)beginTelling {
    [_telling lock];
    if (_isSilent) {
        [_telling unlock];
        return NO;
    }
    [self listen:YES];
    return YES;
}

/** Waits until the delegate has returned that is being called, unless that is who asks. */
- (void)silence {
    [_telling lock];
    _isSilent = YES;
    [_telling unlock];
}

- (void)endTelling {
    [self listen:NO];
    [_telling unlock];
}

- (void)tellError:(NSError *)error {
    if (![self beginTelling]) return;
    NSInteger code = error == nil ? 0 : [error code];
    if (code != _told) {
        _told = code;
        [_delegate licenseVerificationCallback:error == nil error:error];
    }
    [self endTelling];
}

/** On a thread of its own: the delegate hears. */
- (void)start:(TKLicenseSettings *)settings {
    TK_WITH_POOL(
        NSError *error = nil;
        if ([self begin:tk_start settings:settings error:&error]) [self hearStatus]; else [self tellError:error];
    )
}

/** A license that may be used until it is left; NULL, and the error, if there is none. */
- (tk_license *)enterAndReturnError:(NSError **)error {
    [_idle lock];
    tk_license *license = _license;
    BOOL isEnded = _isEnded;
    if (license != NULL) _busy++;
    [_idle unlock];
    if (license == NULL && error != NULL) {
        *error = isEnded ? TKErrorWith(302, @"this license was closed: initialize again to take one",
                                       @"The application has closed its license. Please start it again.")
                         : TKErrorWith(302, @"the license servers are being asked: wait for licenseVerificationCallback:error:",
                                       @"The license server is being asked. Please wait.");
    }
    return license;
}

/** Whether what was done with the license succeeded. */
- (BOOL)leaveWith:(tk_error *)failure error:(NSError **)error {
    [_idle lock];
    _busy--;
    [_idle broadcast];
    [_idle unlock];
    return TKSucceeded(failure, error);
}

- (BOOL)finish:(tk_license *)license byReleasing:(BOOL)isReleasing error:(NSError **)error {
    [_idle lock];
    while (_busy > 0) [_idle wait];
    [_idle unlock];
    tk_error *failure = NULL;
    if (isReleasing) tk_release(license, &failure); else tk_close(license);
    return TKSucceeded(failure, error);
}

- (void)finish:(NSArray *)errand {
    TK_WITH_POOL([self finish:[[errand objectAtIndex:0] pointerValue] byReleasing:[[errand objectAtIndex:1] boolValue] error:NULL])
}

/** Ends the license, after the calls that are under way. */
- (BOOL)endByReleasing:(BOOL)isReleasing error:(NSError **)error {
    [_idle lock];
    tk_license *license = _license;
    _license = NULL;
    _isEnded = YES;
    BOOL isListener = _isListening && pthread_equal(_listener, pthread_self());
    [_idle unlock];
    if (license == NULL || isListener) [self silence];
    if (license == NULL) return YES;
    if (!isListener) {
        BOOL isDone = [self finish:license byReleasing:isReleasing error:error];
        [self silence];
        return isDone;
    }
    // A call that is under way may be waiting for this very delegate.
    tk_flush(license, NULL);
    NSArray *errand = [NSArray arrayWithObjects:[NSValue valueWithPointer:license], [NSNumber numberWithBool:isReleasing], nil];
    [NSThread detachNewThreadSelector:@selector(finish:) toTarget:self withObject:errand];
    return YES;
}

- (TKLicenseStatus *)status {
    tk_license *license = [self enterAndReturnError:NULL];
    if (license == NULL) return nil;
    char *json = NULL;
    tk_error *failure = NULL;
    tk_status(license, &json, &failure);
    return [self leaveWith:failure error:NULL] ? TK_AUTORELEASE([[TKLicenseStatus alloc] initWithJSON:TKTaken(json)]) : nil;
}

- (id<TKLicenseVerificationDelegate>)delegate {
    [_telling lock];
    id<TKLicenseVerificationDelegate> delegate = _delegate;
    [_telling unlock];
    return delegate;
}

- (void)setDelegate:(id<TKLicenseVerificationDelegate>)delegate {
    [_telling lock];
    _delegate = delegate;
    [_telling unlock];
}

- (void)hearStatus {
    // Before it has begun, whoever begins it will look for himself.
    TKLicenseStatus *status = [self status];
    if (status != nil) [self tellError:[status error]];
}

- (void)hearAccepted:(uint64_t)accepted duplicate:(uint64_t)duplicate rejected:(uint64_t)rejected {
    if (![self beginTelling]) return;
    if ([_delegate respondsToSelector:@selector(licenseReportsAccepted:duplicate:rejected:)]) {
        [_delegate licenseReportsAccepted:accepted duplicate:duplicate rejected:rejected];
    }
    [self endTelling];
}

- (void)hearWarning:(NSError *)warning {
    if (![self beginTelling]) return;
    if ([_delegate respondsToSelector:@selector(licenseWarning:)]) [_delegate licenseWarning:warning];
    [self endTelling];
}

@end

#ifdef __BLOCKS__
/** Something that is done on a thread of its own. */
@interface TKErrand : NSObject {
    void (^_work)(void);
}
@end

@implementation TKErrand

+ (void)run:(void (^)(void))work {
    TKErrand *errand = [[TKErrand alloc] init];
    errand->_work = TK_COPY_BLOCK(work);
    [NSThread detachNewThreadSelector:@selector(run) toTarget:errand withObject:nil];
    TK_RELEASE(errand);
}

- (void)run {
    TK_WITH_POOL(_work())
}

- (void)dealloc {
    TK_RELEASE_BLOCK(_work);
    TK_DEALLOC;
}

@end
#endif

@implementation TKLicense

+ (NSString *)libraryVersion {
    return [NSString stringWithUTF8String:tk_version()];
}

+ (NSString *)checkVector:(NSString *)kind withCase:(NSString *)json error:(NSError **)error {
    const char *name = TKTextOf(kind), *given = TKTextOf(json);
    char *text = NULL;
    tk_error *failure = NULL;
    tk_check_vector(name, given, &text, &failure);
    return TKSucceeded(failure, error) ? TKTaken(text) : nil;
}

- (instancetype)init {
    [self doesNotRecognizeSelector:_cmd];
    return nil;
}

- (instancetype)initWithSettings:(TKLicenseSettings *)settings error:(NSError **)error {
    if ((self = [super init])) {
        _handle = [[TKHandle alloc] init];
        if (![_handle begin:tk_initialize settings:settings error:error]) {
            TK_RELEASE(self);
            return nil;
        }
    }
    return self;
}

- (instancetype)initWithSettings:(TKLicenseSettings *)settings verificationDelegate:(id<TKLicenseVerificationDelegate>)delegate {
    if ((self = [super init])) {
        _handle = [[TKHandle alloc] init];
        [_handle setDelegate:delegate];
        [NSThread detachNewThreadSelector:@selector(start:) toTarget:_handle withObject:TK_AUTORELEASE([settings copy])];
    }
    return self;
}

- (void)dealloc {
    [_handle setDelegate:nil];
    [_handle endByReleasing:NO error:NULL];
    TK_RELEASE(_handle);
    TK_DEALLOC;
}

- (id<TKLicenseVerificationDelegate>)verificationDelegate {
    return [_handle delegate];
}

- (void)setVerificationDelegate:(id<TKLicenseVerificationDelegate>)delegate {
    [_handle setDelegate:delegate];
}

- (TKLicenseStatus *)status {
    return [_handle status];
}

- (BOOL)checkAndReturnError:(NSError **)error {
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return NO;
    tk_error *failure = NULL;
    tk_check(license, NULL, &failure);
    return [_handle leaveWith:failure error:error];
}

- (BOOL)checkModule:(NSString *)module error:(NSError **)error {
    const char *name = TKTextOf(module);
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return NO;
    tk_error *failure = NULL;
    tk_check(license, name, &failure);
    return [_handle leaveWith:failure error:error];
}

- (BOOL)record:(NSString *)kind error:(NSError **)error {
    return [self record:kind count:1 error:error];
}

- (BOOL)record:(NSString *)kind count:(uint64_t)count error:(NSError **)error {
    return [self record:kind count:count unit:nil module:nil at:nil error:error];
}

- (BOOL)record:(NSString *)kind count:(uint64_t)count unit:(NSString *)unit module:(NSString *)module at:(NSDate *)date error:(NSError **)error {
    const char *kindName = TKTextOf(kind), *unitName = TKTextOf(unit), *moduleName = TKTextOf(module);
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return NO;
    tk_error *failure = NULL;
    tk_record_at(license, kindName, count, unitName, moduleName, (int64_t)[date timeIntervalSince1970], &failure);
    return [_handle leaveWith:failure error:error];
}

- (BOOL)takeInstances:(uint32_t)number error:(NSError **)error {
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return NO;
    tk_error *failure = NULL;
    tk_take_instances(license, number, &failure);
    return [_handle leaveWith:failure error:error];
}

- (BOOL)giveBackInstances:(uint32_t)number error:(NSError **)error {
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return NO;
    tk_error *failure = NULL;
    tk_give_back_instances(license, number, &failure);
    return [_handle leaveWith:failure error:error];
}

- (NSUInteger)idleInstances {
    tk_license *license = [_handle enterAndReturnError:NULL];
    if (license == NULL) return 0;
    NSUInteger idle = tk_idle_instances(license);
    [_handle leaveWith:NULL error:NULL];
    return idle;
}

- (BOOL)flushAndReturnError:(NSError **)error {
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return NO;
    tk_error *failure = NULL;
    tk_flush(license, &failure);
    return [_handle leaveWith:failure error:error];
}

- (BOOL)renewAndReturnError:(NSError **)error {
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return NO;
    tk_error *failure = NULL;
    tk_renew(license, &failure);
    return [_handle leaveWith:failure error:error];
}

- (BOOL)releaseLicenseAndReturnError:(NSError **)error {
    return [_handle endByReleasing:YES error:error];
}

- (void)close {
    [_handle endByReleasing:NO error:NULL];
}

#ifdef __BLOCKS__
+ (void)initializeWithSettings:(TKLicenseSettings *)settings completionHandler:(void (^)(TKLicense *, NSError *))handler {
    TKLicenseSettings *copy = TK_AUTORELEASE([settings copy]);
    [TKErrand run:^{
        NSError *error = nil;
        TKLicense *license = [[TKLicense alloc] initWithSettings:copy error:&error];
        handler(TK_AUTORELEASE(license), error);
    }];
}

- (void)flushWithCompletionHandler:(void (^)(NSError *))handler {
    [TKErrand run:^{
        NSError *error = nil;
        [self flushAndReturnError:&error];
        handler(error);
    }];
}

- (void)renewWithCompletionHandler:(void (^)(NSError *))handler {
    [TKErrand run:^{
        NSError *error = nil;
        [self renewAndReturnError:&error];
        handler(error);
    }];
}

- (void)releaseLicenseWithCompletionHandler:(void (^)(NSError *))handler {
    [TKErrand run:^{
        NSError *error = nil;
        [self releaseLicenseAndReturnError:&error];
        handler(error);
    }];
}

- (void)closeWithCompletionHandler:(void (^)(void))handler {
    [TKErrand run:^{
        [self close];
        handler();
    }];
}
#endif

+ (NSString *)requestFileWithSettings:(TKLicenseSettings *)settings asLine:(BOOL)asLine error:(NSError **)error {
    tk_settings *opened = [settings openAndReturnError:error];
    if (opened == NULL) return nil;
    char *text = NULL;
    tk_error *failure = NULL;
    tk_request_file(opened, asLine, &text, &failure);
    tk_settings_free(opened);
    return TKSucceeded(failure, error) ? TKTaken(text) : nil;
}

+ (BOOL)importAuthorization:(NSString *)text settings:(TKLicenseSettings *)settings error:(NSError **)error {
    const char *bytes = TKTextOf(text);
    tk_settings *opened = [settings openAndReturnError:error];
    if (opened == NULL) return NO;
    tk_error *failure = NULL;
    tk_import_authorization(opened, bytes, &failure);
    tk_settings_free(opened);
    return TKSucceeded(failure, error);
}

- (NSString *)reportFileAndReturnError:(NSError **)error {
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return nil;
    char *text = NULL;
    tk_error *failure = NULL;
    tk_report_file(license, &text, &failure);
    if (![_handle leaveWith:failure error:error]) return nil;
    return text == NULL ? @"" : TKTaken(text);
}

- (BOOL)importReceipt:(NSString *)text error:(NSError **)error {
    const char *bytes = TKTextOf(text);
    tk_license *license = [_handle enterAndReturnError:error];
    if (license == NULL) return NO;
    tk_error *failure = NULL;
    tk_import_receipt(license, bytes, &failure);
    return [_handle leaveWith:failure error:error];
}

@end
