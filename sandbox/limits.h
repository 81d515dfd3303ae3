/* SPDX-License-Identifier: MIT */
/*
 * limits - of everything that a client or a function can grow; printed by
 * GET /v1/status.  Shared by sandboxd and the init.
 */
#ifndef LIMITS_H
#define LIMITS_H

#define LIMIT_REQUEST 6291456			    /* bytes of an event (INV-4) */
#define LIMIT_RESPONSE 6291556			    /* bytes of a response (INV-4) */
#define LIMIT_STREAM (200 * 1024 * 1024)	    /* bytes of a response in pieces (INV-5) */
#define LIMIT_STREAM_BURST (6 * 1024 * 1024)	    /* of them at any speed */
#define LIMIT_STREAM_RATE (2 * 1024 * 1024)	    /* bytes a second after that */
#define LIMIT_STREAM_WAITS (1024 * 1024)	    /* that a slow client hasn't taken yet */
#define LIMIT_MESSAGE (LIMIT_RESPONSE + 128 * 1024) /* of the init's socket pair */
#define LIMIT_CONTEXT 3583			    /* X-Amz-Client-Context */
#define LIMIT_HEAD (64 * 1024)			    /* of a request to the Runtime API */
#define LIMIT_RUNTIME_CONNS 32			    /* to the Runtime API of an environment */
#define LIMIT_LOG_TAIL 4096			    /* X-Amz-Log-Result, before base64 */
#define LIMIT_LOG_FILE (8 * 1024 * 1024)	    /* a function's log; one older is kept */
#define LIMIT_LOG_BACKLOG (256 * 1024)	     /* output of a function that waits in its init */
#define LIMIT_PROGRAM_LOG (64 * 1024 * 1024) /* a node's log, then it starts anew */
#define LIMIT_EVENT 1048576		     /* bytes of an asynchronous event (INV-4) */
#define LIMIT_EVENTS 100000		     /* that wait or run, of an instance */
#define LIMIT_EVENT_HOPS 16		     /* from destination to destination */
#define LIMIT_ASYNC 100			     /* events of one function that run at a time */
#define LIMIT_PROVISIONED_INIT_MS 130000     /* of what is kept ready (EX-1) */
#define LIMIT_VERSIONS 200		     /* published ones of a lab */
#define LIMIT_ENVIRONMENTS 4000		     /* of an instance of the product */
#define LIMIT_API_CONNECTIONS 256	     /* to a lab's own endpoint of the Invoke API */
#define LIMIT_INVOCATIONS 8000		     /* that wait or run, of an instance */
#define LIMIT_WAITING 64		     /* changes of a lab that wait for their turn */
#define LIMIT_PROBES 4096		     /* of one request */
#define LIMIT_PROBE_PARTS 8192		     /* packets flows of one request */
#define LIMIT_HELD 1024			     /* connections kept, of an instance */
#define LIMIT_EXECS 512			     /* at a time */
#define LIMIT_DOORS 1024		     /* connections to sandboxd.fd */
#define LIMIT_DOOR_MESSAGE (256 * 1024)
#define LIMIT_CODE (250 * 1024 * 1024) /* bytes of a function's code, unpacked (PKG-1) */
#define LIMIT_CODE_FILES 100000
#define LIMIT_ZIP (50 * 1024 * 1024)		/* of a .zip file itself (PKG-1) */
#define LIMIT_IMAGE (10LL * 1024 * 1024 * 1024) /* of an image, unpacked (PKG-2) */
#define LIMIT_IMAGE_FILES 1000000
#define LIMIT_IMAGE_DOCUMENT (4 * 1024 * 1024) /* manifests, configurations */
#define LIMIT_PACKAGE (64 * 1024)	       /* the text of a package */
#define LIMIT_LOG_ANSWER (16 * 1024 * 1024)    /* of GET .../logs, a node: its end */

#define LIMIT_INIT_MS 10000	       /* EX-1 */
#define LIMIT_SHUTDOWN_MS 2000	       /* EX-3, with external extensions */
#define LIMIT_SHUTDOWN_INTERNAL_MS 500 /* EX-3, with internal ones alone */
#define LIMIT_SHUTDOWN_RUNTIME_MS 300  /* EX-3, of which the runtime has */
#define LIMIT_RESET_MS 4000	       /* until an environment that was reset is dropped */
#define LIMIT_FREEZE_MS 5	       /* idle */
#define LIMIT_IDLE_S 300	       /* of AWS time, then an environment goes (--idle) */
#define LIMIT_MEMORY_SHARE 0.8	       /* of the host's, for all environments (--memory) */
#define LIMIT_READY_MS 60000	       /* PUT without a timeout */
#define LIMIT_NODE_PIDS 8192	       /* processes of a node */
#define LIMIT_FUNCTION_PIDS 1024       /* EX-11 */

#endif
