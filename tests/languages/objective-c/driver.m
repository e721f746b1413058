/* Does what it is told, one line at a time, through the Objective-C library: what tests/c/driver.c does in C. With blocks, what has
 * a completion handler is called by it. */
#import <Foundation/Foundation.h>

#import "TKLicense.h"

#include <stdio.h>
#ifdef __BLOCKS__
#include <Block.h>
#endif

@interface Driver : NSObject <TKLicenseVerificationDelegate> {
@public
    TKLicenseSettings *settings;
    TKLicense *license;
    TKDeduplicator *deduplicator;
    NSCondition *told;
    BOOL isTold, isBeginning, isClosing;
    NSError *verdict;
    uint64_t counted;
    NSUInteger running;
}
@end

static void say(NSString *text) {
    /* At once, whichever thread says it. */
    flockfile(stdout);
    puts([text UTF8String]);
    fflush(stdout);
    funlockfile(stdout);
}

static NSString *readFile(NSString *path) {
    return [NSString stringWithContentsOfFile:path encoding:NSUTF8StringEncoding error:NULL];
}

@implementation Driver

- (void)licenseVerificationCallback:(BOOL)isSuccess error:(NSError *)error {
    [told lock];
    if (isBeginning) {
        isBeginning = NO;
        isTold = YES;
        verdict = [error retain];
        [told broadcast];
    }
    [told unlock];
    if (!isSuccess && isClosing) {
        [license close];
        say(@"event closed");
        return;
    }
    say([NSString stringWithFormat:@"event changed %ld", error == nil ? 0L : -20000L - (long)[error code]]);
}

- (void)licenseReportsAccepted:(uint64_t)accepted duplicate:(uint64_t)duplicate rejected:(uint64_t)rejected {
    say([NSString stringWithFormat:@"event report %llu %llu %llu",
        (unsigned long long)accepted, (unsigned long long)duplicate, (unsigned long long)rejected]);
}

- (void)licenseWarning:(NSError *)warning {
    say([NSString stringWithFormat:@"event warning %@ %@",
        [[warning userInfo] objectForKey:TKLicenseErrorSDKCodeKey], [[warning userInfo] objectForKey:TKLicenseErrorMessageKey]]);
}

/** Waits until somebody told a verdict. */
- (BOOL)await:(NSError **)error {
    [told lock];
    while (!isTold) [told wait];
    isTold = NO;
    *error = [verdict autorelease];
    verdict = nil;
    [told unlock];
    return *error == nil;
}

#ifdef __BLOCKS__
/** To be freed. */
- (void (^)(NSError *))handler {
    return Block_copy(^(NSError *error) {
        [told lock];
        isTold = YES;
        verdict = [error retain];
        [told broadcast];
        [told unlock];
    });
}

/** Waits until the handler is called. */
- (BOOL)await:(NSError **)error freeing:(void (^)(NSError *))handler {
    BOOL isDone = [self await:error];
    Block_release(handler);
    return isDone;
}
#endif

/** By the delegate, as the seeds do it; one that has no license yet is ended then. */
- (BOOL)initialize:(NSError **)error {
    [license release];
    isBeginning = YES;
    license = [[TKLicense alloc] initWithSettings:settings verificationDelegate:self];
    if ([self await:error]) return YES;
    [license release];
    license = nil;
    return NO;
}

- (BOOL)start {
    NSError *ignored = nil;
    [license release];
    isBeginning = YES;
    license = [[TKLicense alloc] initWithSettings:settings verificationDelegate:self];
    [self await:&ignored];
    return YES;
}

- (BOOL)initializeClosing:(NSError **)error {
    [license release];
    license = [[TKLicense alloc] initWithSettings:settings error:error];
    isClosing = YES;
    license.verificationDelegate = self;
    return license != nil;
}

- (BOOL)renew:(NSError **)error {
#ifdef __BLOCKS__
    void (^handler)(NSError *) = [self handler];
    [license renewWithCompletionHandler:handler];
    return [self await:error freeing:handler];
#else
    return [license renewAndReturnError:error];
#endif
}

- (BOOL)flush:(NSError **)error {
#ifdef __BLOCKS__
    void (^handler)(NSError *) = [self handler];
    [license flushWithCompletionHandler:handler];
    return [self await:error freeing:handler];
#else
    return [license flushAndReturnError:error];
#endif
}

- (BOOL)end:(BOOL)isReleasing error:(NSError **)error {
#ifdef __BLOCKS__
    void (^handler)(NSError *) = [self handler];
    if (isReleasing) [license releaseLicenseWithCompletionHandler:handler];
    else [license closeWithCompletionHandler:^{ handler(nil); }];
    return [self await:error freeing:handler];
#else
    if (isReleasing) return [license releaseLicenseAndReturnError:error];
    [license close];
    return YES;
#endif
}

- (void)count {
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    uint64_t mine = 0;
    while ([license record:@"QR Code" error:NULL]) {
        mine++;
        NSAutoreleasePool *inner = [[NSAutoreleasePool alloc] init];
        [license status];
        [inner drain];
    }
    [told lock];
    counted += mine;
    running--;
    [told broadcast];
    [told unlock];
    [pool drain];
}

- (NSString *)race {
    counted = 0;
    running = 4;
    for (int i = 0; i < 4; i++) [NSThread detachNewThreadSelector:@selector(count) toTarget:self withObject:nil];
    [license renewAndReturnError:NULL];
    [license close];
    [told lock];
    while (running > 0) [told wait];
    [told unlock];
    return [NSString stringWithFormat:@"%llu", (unsigned long long)counted];
}

- (void)put:(NSString *)value as:(NSString *)name {
    id given = [value length] == 0 ? nil : value;
    if ([name isEqual:@"limitedModules"]) given = [given componentsSeparatedByString:@","];
    if ([name isEqual:@"instances"]) given = [NSNumber numberWithInteger:[value integerValue]];
    if ([name isEqual:@"sealed"]) given = [NSNumber numberWithBool:[value isEqual:@"true"]];
    [settings setValue:given forKey:name];
}

static id orNull(id value) {
    return value == nil ? [NSNull null] : value;
}

- (NSString *)json {
    TKLicenseStatus *status = license.status;
    NSMutableArray *failures = [NSMutableArray array];
    for (TKServerFailure *failure in status.failures) {
        [failures addObject:[NSDictionary dictionaryWithObjectsAndKeys:failure.server, @"server",
            [NSNumber numberWithInteger:failure.code], @"code", failure.message, @"message", nil]];
    }
    NSString *ends = nil;
    if (status.expiresAt != nil) {
        NSDateFormatter *formatter = [[[NSDateFormatter alloc] init] autorelease];
        [formatter setTimeZone:[NSTimeZone timeZoneForSecondsFromGMT:0]];
        [formatter setDateFormat:@"yyyy-MM-dd'T'HH:mm:ss'Z'"];
        ends = [formatter stringFromDate:status.expiresAt];
    }
    NSDictionary *members = [NSDictionary dictionaryWithObjectsAndKeys:[NSNumber numberWithBool:status.isLicensed], @"licensed",
        orNull(status.origin), @"origin", orNull(status.server), @"server", orNull(ends), @"expires_at",
        orNull(status.handshakeCode), @"handshake_code",
        orNull(status.clientUuid), @"client_uuid", [NSNumber numberWithUnsignedInteger:status.instances], @"instances",
        [NSNumber numberWithInteger:[status.error code]], @"code",
        orNull([[status.error userInfo] objectForKey:TKLicenseErrorMessageKey]), @"message", failures, @"failures", nil];
    NSData *data = [NSJSONSerialization dataWithJSONObject:members options:0 error:NULL];
    return [[[NSString alloc] initWithData:data encoding:NSUTF8StringEncoding] autorelease];
}

- (void)obey:(NSString *)line {
    NSRange space = [line rangeOfString:@" "];
    NSString *command = space.length == 0 ? line : [line substringToIndex:space.location];
    NSString *rest = space.length == 0 ? @"" : [line substringFromIndex:NSMaxRange(space)];
    NSRange cut = [rest rangeOfString:@" "];
    NSString *first = cut.length == 0 ? rest : [rest substringToIndex:cut.location];
    NSString *more = cut.length == 0 ? @"" : [rest substringFromIndex:NSMaxRange(cut)];
    NSError *error = nil;
    NSString *text = nil;
    BOOL isDone = YES;
    if ([command isEqual:@"set"]) [self put:more as:first];
    else if ([command isEqual:@"set-file"]) [self put:readFile(more) as:first];
    else if ([command isEqual:@"initialize"]) isDone = [self initialize:&error];
    else if ([command isEqual:@"initialize-closing"]) isDone = [self initializeClosing:&error];
    else if ([command isEqual:@"start"]) isDone = [self start];
    else if ([command isEqual:@"close"]) isDone = [self end:NO error:&error];
    else if ([command isEqual:@"release"]) isDone = [self end:YES error:&error];
    else if ([command isEqual:@"check"]) isDone = [rest length] == 0 ? [license checkAndReturnError:&error] : [license checkModule:rest error:&error];
    else if ([command isEqual:@"record"]) isDone = [license record:more count:(uint64_t)[first longLongValue] error:&error];
    else if ([command isEqual:@"record-page"]) {
        isDone = [license record:@"scanned" count:(uint64_t)[first longLongValue] unit:@"page" module:more at:nil error:&error];
    }
    else if ([command isEqual:@"record-at"]) {
        NSDate *at = [NSDate dateWithTimeIntervalSince1970:(NSTimeInterval)[first longLongValue]];
        isDone = [license record:more count:1 unit:nil module:nil at:at error:&error];
    }
    else if ([command isEqual:@"take"]) isDone = [license takeInstances:(uint32_t)[rest integerValue] error:&error];
    else if ([command isEqual:@"give"]) isDone = [license giveBackInstances:(uint32_t)[rest integerValue] error:&error];
    else if ([command isEqual:@"race"]) text = [self race];
    else if ([command isEqual:@"flush"]) isDone = [self flush:&error];
    else if ([command isEqual:@"renew"]) isDone = [self renew:&error];
    else if ([command isEqual:@"status"]) text = [self json];
    else if ([command isEqual:@"request"]) isDone = (text = [TKLicense requestFileWithSettings:settings asLine:NO error:&error]) != nil;
    else if ([command isEqual:@"request-line"]) isDone = (text = [TKLicense requestFileWithSettings:settings asLine:YES error:&error]) != nil;
    else if ([command isEqual:@"import"]) isDone = [TKLicense importAuthorization:readFile(rest) settings:settings error:&error];
    else if ([command isEqual:@"report-file"]) isDone = (text = [license reportFileAndReturnError:&error]) != nil;
    else if ([command isEqual:@"vector"]) isDone = (text = [TKLicense checkVector:first withCase:more error:&error]) != nil;
    else if ([command isEqual:@"import-receipt"]) isDone = [license importReceipt:readFile(rest) error:&error];
    else if ([command isEqual:@"idle"]) {
        say([NSString stringWithFormat:@"%lu", (unsigned long)license.idleInstances]);
        return;
    } else if ([command isEqual:@"seen"]) {
        say([deduplicator isNewBarcode:more format:@"QR" at:(NSTimeInterval)[first longLongValue] / 1000] ? @"1" : @"0");
        return;
    } else [NSException raise:NSInvalidArgumentException format:@"what is '%@'?", line];
    NSDictionary *info = [error userInfo];
    if (!isDone) {
        say([NSString stringWithFormat:@"%@ %@ | %@", [info objectForKey:TKLicenseErrorSDKCodeKey],
            [info objectForKey:TKLicenseErrorMessageKey], [error localizedDescription]]);
    } else if (text == nil) say(@"0");
    else say([@"0 " stringByAppendingString:[text stringByReplacingOccurrencesOfString:@"\n" withString:@"~"]]);
}

@end

#if defined(__BLOCKS__) && !defined(__APPLE__)
/* Debian's runtime of blocks knows no objects: what a block captures is kept here. */
void _Block_object_assign(void *to, const void *captured, const int kind) {
    *(const void **)to = kind == 7 ? Block_copy(captured) : (const void *)[(id)captured retain];
}

void _Block_object_dispose(const void *captured, const int kind) {
    if (kind == 7) Block_release(captured);
    else [(id)captured release];
}
#endif

int main(void) {
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    Driver *driver = [[Driver alloc] init];
    driver->settings = [[TKLicenseSettings alloc] init];
    driver->deduplicator = [[TKDeduplicator alloc] init];
    driver->told = [[NSCondition alloc] init];
    static char line[1 << 20];
    while (fgets(line, sizeof line, stdin) != NULL) {
        NSAutoreleasePool *inner = [[NSAutoreleasePool alloc] init];
        line[strcspn(line, "\n")] = 0;
        [driver obey:[NSString stringWithUTF8String:line]];
        [inner drain];
    }
    [driver->license release];
    [driver->deduplicator release];
    [driver->settings release];
    [driver->told release];
    [driver release];
    [pool drain];
    return 0;
}
