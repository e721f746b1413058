/* Settings, status, errors and the deduplicator of TKLicense.h. */

#import "TKLicenseInternal.h"

NSString *const TKLicenseErrorDomain = @"TKLicenseErrorDomain";
NSString *const TKLicenseErrorMessageKey = @"TKLicenseErrorMessage";
NSString *const TKLicenseErrorSDKCodeKey = @"TKLicenseErrorSDKCode";

NSError *TKErrorWith(NSInteger code, NSString *message, NSString *userMessage) {
    NSArray *values = [NSArray arrayWithObjects:userMessage, message, message, [NSNumber numberWithInteger:-(20000 + code)], nil];
    NSArray *keys = [NSArray arrayWithObjects:NSLocalizedDescriptionKey, NSLocalizedFailureReasonErrorKey, TKLicenseErrorMessageKey,
                                              TKLicenseErrorSDKCodeKey, nil];
    return [NSError errorWithDomain:TKLicenseErrorDomain code:code userInfo:[NSDictionary dictionaryWithObjects:values forKeys:keys]];
}

BOOL TKSucceeded(tk_error *failure, NSError **error) {
    if (failure == NULL) return YES;
    if (error != NULL) {
        NSString *message = [NSString stringWithUTF8String:tk_error_message(failure)];
        *error = TKErrorWith(tk_error_code(failure), message, [NSString stringWithUTF8String:tk_error_user_message(failure)]);
    }
    tk_error_free(failure);
    return NO;
}

const char *TKTextOf(NSString *text) {
    const char *bytes = [text UTF8String];
    if (text != nil && (bytes == NULL || strlen(bytes) != [text lengthOfBytesUsingEncoding:NSUTF8StringEncoding])) {
        [NSException raise:NSInvalidArgumentException format:@"a text for the license library holds a zero, or is none"];
    }
    return bytes;
}

NSString *TKTaken(char *text) {
    if (text == NULL) return nil;
    NSString *copy = [NSString stringWithUTF8String:text];
    tk_string_free(text);
    return copy;
}

@implementation TKLicenseSettings

@synthesize vendorPublicKey, product, licenseKey, mainServerURL, standbyServerURL, organizationId, handshakeCode, sessionPassword;
@synthesize certificateAuthority, productKey, productVersion, edition, deploymentType, limitedModules, chargeWay, instances, maxBufferDays;
@synthesize uuidMethod, dataFolder, applicationId, processName, sealed, flushSeconds, releaseOnClose;

/** The names of all, which are C's too. */
static NSArray *settingNames(void) {
    return [@"vendorPublicKey product licenseKey mainServerURL standbyServerURL organizationId handshakeCode sessionPassword "
            @"certificateAuthority productKey productVersion edition deploymentType limitedModules chargeWay instances maxBufferDays "
            @"uuidMethod dataFolder applicationId processName sealed flushSeconds releaseOnClose" componentsSeparatedByString:@" "];
}

- (id)copyWithZone:(NSZone *)zone {
    TKLicenseSettings *copy = [[TKLicenseSettings allocWithZone:zone] init];
    for (NSString *name in settingNames()) [copy setValue:[self valueForKey:name] forKey:name];
    return copy;
}

- (tk_settings *)openAndReturnError:(NSError **)error {
    tk_settings *settings = tk_settings_new();
    for (NSString *name in settingNames()) {
        id value = [self valueForKey:name];
        if (value == nil || [value isEqual:[NSNumber numberWithInt:0]]) continue;
        if ([value isKindOfClass:[NSArray class]]) value = [value componentsJoinedByString:@","];
        tk_error *failure = NULL;
        tk_settings_set(settings, TKTextOf(name), TKTextOf([value description]), &failure);
        if (!TKSucceeded(failure, error)) {
            tk_settings_free(settings);
            return NULL;
        }
    }
    return settings;
}

#if !__has_feature(objc_arc)
- (void)dealloc {
    for (NSString *name in settingNames()) {
        if (![[self valueForKey:name] isKindOfClass:[NSNumber class]]) [self setValue:nil forKey:name];
    }
    [super dealloc];
}
#endif

@end

/** What is not null in JSON. */
static id given(NSDictionary *told, NSString *name) {
    id value = [told objectForKey:name];
    return value == [NSNull null] ? nil : value;
}

@implementation TKServerFailure

@synthesize server, code, message;

- (instancetype)initWithTold:(NSDictionary *)told {
    if ((self = [super init])) {
        server = [[told objectForKey:@"server"] copy];
        code = [[told objectForKey:@"code"] integerValue];
        message = [[told objectForKey:@"message"] copy];
    }
    return self;
}

- (void)dealloc {
    TK_RELEASE(server);
    TK_RELEASE(message);
    TK_DEALLOC;
}

@end

@implementation TKLicenseStatus

@synthesize isLicensed, error, origin, server, expiresAt, handshakeCode, clientUuid, instances, failures;

- (instancetype)initWithJSON:(NSString *)json {
    if ((self = [super init])) {
        NSDictionary *told = [NSJSONSerialization JSONObjectWithData:[json dataUsingEncoding:NSUTF8StringEncoding] options:0 error:NULL];
        isLicensed = [[told objectForKey:@"licensed"] boolValue];
        NSInteger code = [[told objectForKey:@"code"] integerValue];
        if (!isLicensed) error = [TKErrorWith(code, given(told, @"message"), given(told, @"user_message")) copy];
        origin = [given(told, @"origin") copy];
        server = [given(told, @"server") copy];
        handshakeCode = [given(told, @"handshake_code") copy];
        clientUuid = [given(told, @"client_uuid") copy];
        instances = (NSUInteger)[[told objectForKey:@"instances"] integerValue];
        NSString *ends = given(told, @"expires_at");
        if (ends != nil) {
            NSDateFormatter *formatter = [[NSDateFormatter alloc] init];
            [formatter setLocale:TK_AUTORELEASE([[NSLocale alloc] initWithLocaleIdentifier:@"en_US_POSIX"])];
            [formatter setTimeZone:[NSTimeZone timeZoneForSecondsFromGMT:0]];
            [formatter setDateFormat:@"yyyy-MM-dd'T'HH:mm:ss'Z'"];
            expiresAt = [[formatter dateFromString:ends] copy];
            TK_RELEASE(formatter);
        }
        NSMutableArray *made = [NSMutableArray array];
        for (NSDictionary *failure in [told objectForKey:@"failures"]) {
            [made addObject:TK_AUTORELEASE([[TKServerFailure alloc] initWithTold:failure])];
        }
        failures = [made copy];
    }
    return self;
}

- (void)dealloc {
    TK_RELEASE(error);
    TK_RELEASE(origin);
    TK_RELEASE(server);
    TK_RELEASE(expiresAt);
    TK_RELEASE(handshakeCode);
    TK_RELEASE(clientUuid);
    TK_RELEASE(failures);
    TK_DEALLOC;
}

@end

@implementation TKDeduplicator

- (instancetype)init {
    return [self initWithPause:3];
}

- (instancetype)initWithPause:(NSTimeInterval)pause {
    if ((self = [super init])) {
        _lock = [[NSLock alloc] init];
        // To C, 0 is what is usual.
        _deduplicator = tk_deduplicator_new(pause < 0.001 ? 1 : (uint64_t)(pause * 1000));
    }
    return self;
}

- (void)dealloc {
    tk_deduplicator_free(_deduplicator);
    TK_RELEASE(_lock);
    TK_DEALLOC;
}

- (BOOL)isNewBarcode:(NSString *)text format:(NSString *)format at:(NSTimeInterval)time {
    const char *textBytes = TKTextOf(text), *formatBytes = TKTextOf(format);
    [_lock lock];
    BOOL isNew = tk_deduplicator_is_new(_deduplicator, formatBytes, textBytes, (uint64_t)(time * 1000 + 0.5)) > 0;
    [_lock unlock];
    return isNew;
}

@end
