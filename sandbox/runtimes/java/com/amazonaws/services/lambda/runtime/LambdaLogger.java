// SPDX-License-Identifier: MIT
package com.amazonaws.services.lambda.runtime;

/** Writes to the log of the function. */
public interface LambdaLogger {
	void log(String message);

	void log(byte[] message);
}
