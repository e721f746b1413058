/* What the files of this library share. Not for applications. */

#import "TKLicense.h"

#ifdef __BLOCKS__
#include <Block.h>
#endif

#include "tollkeeper.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if __has_feature(objc_arc)
#define TK_RELEASE(object)
#define TK_AUTORELEASE(object) (object)
#define TK_DEALLOC
#define TK_BRIDGE(type, pointer) ((__bridge type)(pointer))
#define TK_COPY_BLOCK(block) ([(block) copy])
#define TK_RELEASE_BLOCK(block)
#else
#define TK_RELEASE(object) [object release]
#define TK_AUTORELEASE(object) [object autorelease]
#define TK_DEALLOC [super dealloc]
#define TK_BRIDGE(type, pointer) ((type)(pointer))
#define TK_COPY_BLOCK(block) Block_copy(block)
#define TK_RELEASE_BLOCK(block) Block_release(block)
#endif
#ifdef __clang__
#define TK_WITH_POOL(work) @autoreleasepool { work; }
#else
#define TK_WITH_POOL(work) { NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init]; work; [pool drain]; }
#endif

/** An error of ours. */
NSError *TKErrorWith(NSInteger code, NSString *message, NSString *userMessage);
/** Whether there was no failure; one becomes the caller's error. */
BOOL TKSucceeded(tk_error *failure, NSError **error);
/** As C takes it; nil is NULL. */
const char *TKTextOf(NSString *text);
/** A text that C gave; nil for NULL. */
NSString *TKTaken(char *text);

@interface TKLicenseSettings (Internal)
/** The C library's settings with these values, to be freed; NULL, and the error, when one of them cannot be. */
- (tk_settings *)openAndReturnError:(NSError **)error;
@end

@interface TKLicenseStatus (Internal)
- (instancetype)initWithJSON:(NSString *)json;
@end
