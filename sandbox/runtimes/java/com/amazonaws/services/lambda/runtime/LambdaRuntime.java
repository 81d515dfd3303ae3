// SPDX-License-Identifier: MIT
package com.amazonaws.services.lambda.runtime;

/** The logger for code without a Context. */
public final class LambdaRuntime {
	private static final LambdaLogger LOGGER = new LambdaLogger() {
		@Override public void log(String message) {
			System.out.print(message);
			System.out.flush();
		}

		@Override public void log(byte[] message) {
			System.out.write(message, 0, message.length);
			System.out.flush();
		}
	};

	private LambdaRuntime() {
	}

	public static LambdaLogger getLogger() {
		return LOGGER;
	}
}
