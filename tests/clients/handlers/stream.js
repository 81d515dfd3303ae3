// SPDX-License-Identifier: MIT
// Handlers that stream; an event names one.
"use strict";

const { pipeline } = require("node:stream/promises");
const { Readable } = require("node:stream");

const cases = {
	whole: async (event, stream) => { stream.write("one "); stream.write(Buffer.from("two ")); stream.end("three"); },
	object: async (event, stream) => { stream.write({ a: 1 }); stream.end(); },
	empty: async (event, stream) => { stream.end(); },
	pipe: async (event, stream) => { await pipeline(Readable.from(["a", "b", "c"]), stream); },
	typed: async (event, stream) => { stream.setContentType("text/plain"); stream.write("typed"); stream.end(); },
	typed_late: async (event, stream) => { stream.write("x"); stream.setContentType("text/plain"); stream.end(); },
	http: async (event, stream) => {
		const answer = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { "x-a": "b" } });
		answer.write("body");
		answer.end();
	},
	returns: async (event, stream) => { stream.end("x"); return 1; },
	throws_first: async () => { throw new TypeError("before the first byte"); },
	throws_later: async (event, stream) => { stream.write("some "); throw new RangeError("in the middle"); },
	not_async: (event, stream) => { stream.write("x"); },
};

exports.handler = awslambda.streamifyResponse((event, stream, context) => cases[event.case](event, stream, context));
exports.names = Object.keys(cases);
