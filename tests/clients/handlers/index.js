// SPDX-License-Identifier: MIT
// Handlers that run under AWS's runtime client and ours (tests/lab/test_ric.py); an event names one.
"use strict";

class Mine extends Error {
	constructor(message) {
		super(message);
		this.name = "Mine";
		this.code = "E_MINE";
		this.more = { a: [1, "two"] };
	}
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const cases = {
	echo: async (event) => event,
	nothing_sync: () => {},
	nothing_async: async () => {},
	value_sync: () => "a value that isn't a promise is nobody's",
	number: async () => 1.5e3,
	text: async () => "\u00e4\u20ac\ud83d\ude00 \"quoted\"\n",
	null_value: async () => null,
	a_date: async () => new Date(0),
	to_json: async () => ({ toJSON: () => "by toJSON", other: 1 }),
	undefined_members: async () => ({ a: undefined, b: [undefined, () => 1, NaN] }),
	a_function: async () => () => 1,
	a_bigint: async () => 12n,
	circular: async () => { const o = {}; o.o = o; return o; },
	thenable: () => ({ then: (done) => done({ then: "able" }) }),
	callback: (event, context, callback) => callback(null, { called: 1 }),
	callback_late: (event, context, callback) => { setTimeout(() => callback(null, "late"), 5); },
	callback_nothing: (event, context, callback) => callback(),
	callback_twice: (event, context, callback) => { callback(null, 1); callback(null, 2); },
	callback_error: (event, context, callback) => callback(new TypeError("by callback")),
	callback_text: (event, context, callback) => callback("just text"),
	callback_object: (event, context, callback) => callback({ name: "Odd", message: "an object", stack: "Odd: an object\n    at nowhere" }),
	callback_waits: (event, context, callback) => { callback(null, "answered"); setTimeout(() => console.log("before the answer"), 5); },
	callback_does_not_wait: (event, context, callback) => {
		context.callbackWaitsForEmptyEventLoop = false;
		setTimeout(() => {}, 10000).unref();
		callback(null, "at once");
	},
	callback_in_async: async (event, context, callback) => { callback(null, "called"); return "returned"; },
	done: (event, context) => context.done(null, "done"),
	done_error: (event, context) => context.done(new RangeError("done with")),
	succeed: (event, context) => context.succeed({ ok: true }),
	fail: (event, context) => context.fail(new Mine("failed")),
	fail_nothing: (event, context) => context.fail(),
	throws: () => { throw new RangeError("at once"); },
	throws_text: () => { throw "text"; },
	throws_mine: async () => { await wait(1); throw new Mine("mine\nof two lines"); },
	throws_cause: async () => { throw new Error("outer", { cause: new Error("inner") }); },
	throws_delete: async () => { throw new Error("a\x7Fb"); },
	throws_empty: async () => { throw new Error(); },
	rejects_nothing: () => Promise.reject(),
	rejects_object: () => Promise.reject({ a: 1 }),
	rejects_null_proto: () => Promise.reject(Object.create(null)),
	logs: async () => {
		console.log("a %s of %d and %j", "line", 3, { o: 1 }, "more");
		console.info("info");
		console.debug({ a: { b: { c: { d: 1 } } } });
		console.warn("two\nlines");
		console.error("error");
		console.trace("trace");
		console.fatal("fatal");
		process.stdout.write("raw\n");
		return console.log();
	},
	context: async (event, context) => {
		const left = context.getRemainingTimeInMillis();
		return { ...context, awsRequestId: context.awsRequestId.length, logStreamName: context.logStreamName.length > 10,
			 left: left > 0 && left <= 20000, keys: Object.keys(context).sort(), cwd: process.cwd(), argument: this === undefined,
			 trace: process.env._X_AMZN_TRACE_ID.slice(0, 7) };
	},
	exits_after: (event, context) => { context.done(null, "was sent"); process.exit(0); },
	exits: () => process.exit(7),
	uncaught: async () => { setTimeout(() => { throw new Mine("nobody caught it"); }, 1); await wait(20000); },
	unhandled: async () => { Promise.reject(new Error("nobody handled it")); await wait(20000); },
	too_large: async () => "x".repeat(6291600),
	idle_promise: () => new Promise(() => {}),
};

exports.names = Object.keys(cases);
exports.handler = (event, context, callback) => cases[event.case](event, context, callback);
exports.text = "no function";
exports.nested = { deep: { handler: async () => "nested" } };
