// SPDX-License-Identifier: MIT
package com.amazonaws.services.lambda.runtime;

/** A handler of values: the event is read into an I, what it returns goes out as JSON. */
public interface RequestHandler<I, O> {
	O handleRequest(I input, Context context);
}
