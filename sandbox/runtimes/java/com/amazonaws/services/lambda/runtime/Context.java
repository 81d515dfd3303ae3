// SPDX-License-Identifier: MIT
package com.amazonaws.services.lambda.runtime;

/** What a handler learns of its invocation. */
public interface Context {
	String getAwsRequestId();

	String getLogGroupName();

	String getLogStreamName();

	String getFunctionName();

	String getFunctionVersion();

	String getInvokedFunctionArn();

	CognitoIdentity getIdentity();

	ClientContext getClientContext();

	/** Milliseconds until the function is stopped. */
	int getRemainingTimeInMillis();

	int getMemoryLimitInMB();

	LambdaLogger getLogger();
}
