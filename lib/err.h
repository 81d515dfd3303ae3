/* SPDX-License-Identifier: MIT */
/*
 * err - one error value, wrapped on its way up.
 *
 * Mechanism (lib/) returns 0 or -errno and says nothing.  Domain functions take
 * a last parameter "struct err *e": untouched on success, always set on
 * failure, and they return the negative errno kept in it.  Only main.c, api.c
 * and the command line report; each failure is reported once.
 */
#ifndef ERR_H
#define ERR_H

/* code of the API, HTTP status, exit status of vpclab when it ends with it */
#define ERR_CODES(X)                                                   \
	X(ERR_NONE, "", 200, 0)                                        \
	X(ERR_INTERNAL, "InternalError", 500, 5)                       \
	X(ERR_INVALID_LAB, "InvalidLab", 400, 2)                       \
	X(ERR_INVALID_PARAMETER, "InvalidParameterValue", 400, 2)      \
	X(ERR_UNSUPPORTED, "UnsupportedOperation", 501, 4)             \
	X(ERR_HOST, "HostUnsupported", 501, 4)                         \
	X(ERR_NO_LAB, "InvalidLab.NotFound", 404, 3)                   \
	X(ERR_NO_NODE, "InvalidNode.NotFound", 404, 3)                 \
	X(ERR_NO_FUNCTION, "ResourceNotFoundException", 404, 3)        \
	X(ERR_NO_OBJECT, "InvalidObject.NotFound", 404, 3)             \
	X(ERR_NO_ROUTE, "NoSuchOperation", 404, 5)                     \
	X(ERR_METHOD, "MethodNotAllowed", 405, 5)                      \
	X(ERR_NO_ADDRESS, "InsufficientFreeAddressesInSubnet", 409, 2) \
	X(ERR_ENI_LIMIT, "NetworkInterfaceLimitExceeded", 409, 4)      \
	X(ERR_ADDRESS_IN_USE, "InvalidIPAddress.InUse", 409, 2)        \
	X(ERR_VPC_RANGE, "InvalidVpc.Range", 409, 2)                   \
	X(ERR_LIMIT, "LimitExceeded", 429, 4)                          \
	X(ERR_DEPENDENCY, "DependencyViolation", 409, 5)               \
	X(ERR_BUSY, "IncorrectState", 409, 5)                          \
	X(ERR_CANCELLED, "Cancelled", 409, 5)                          \
	X(ERR_PRECONDITION, "PreconditionFailed", 412, 5)              \
	X(ERR_TIMEOUT, "Timeout", 504, 5)                              \
	X(ERR_TOO_LARGE, "RequestEntityTooLargeException", 413, 5)     \
	X(ERR_DENIED, "UnauthorizedOperation", 403, 5)                 \
	X(ERR_KERNEL, "KernelError", 500, 5)                           \
	X(ERR_STATE, "StateError", 500, 5)                             \
	X(ERR_UNAVAILABLE, "ServiceUnavailable", 503, 5)

enum err_code {
#define ERR_ENUM(sym, name, http, exit) sym,
	ERR_CODES(ERR_ENUM)
#undef ERR_ENUM
};

struct err {
	enum err_code code;
	int errnum;	/* positive errno, 0 if none fits */
	char path[160]; /* path in the lab file, "" if none */
	char msg[400];
};

/*
 * err_set() - fills "e" (may be NULL) and returns -errnum (-EINVAL if 0).
 * err_wrap() - prefixes "fmt: " to the message, keeps code; returns -e->errnum.
 * err_path() - names the place in the lab file.
 */
int err_set(struct err *e, enum err_code code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void err_path(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *err_code_name(enum err_code code);	    /* "InvalidSubnet.Conflict" */
int err_code_http(enum err_code code);		    /* HTTP status */
int err_code_exit(enum err_code code);		    /* exit status of vpclab */
enum err_code err_code_from_name(const char *name); /* ERR_INTERNAL if unknown */

#endif
