// SPDX-License-Identifier: MIT
package com.amazonaws.services.lambda.runtime;

/** Who invoked, by Amazon Cognito. */
public interface CognitoIdentity {
	String getIdentityId();

	String getIdentityPoolId();
}
