// SPDX-License-Identifier: MIT
package com.amazonaws.services.lambda.runtime;

/** The application that invoked, as a mobile client tells it. */
public interface Client {
	String getInstallationId();

	String getAppTitle();

	String getAppVersionName();

	String getAppVersionCode();

	String getAppPackageName();
}
