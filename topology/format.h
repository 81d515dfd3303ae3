/* SPDX-License-Identifier: MIT */
/*
 * format - the forms that texts of a lab file may have; private to topology/.
 * Each is a pattern for the schema and a function for us, kept side by side.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include "topology/shape.h"

extern const struct format format_name, format_lab, format_region, format_serve, format_ready;
extern const struct format format_port, format_variable, format_user, format_folder;
extern const struct format format_file, format_file_name, format_dns, format_action;
extern const struct format format_protocol, format_runtime;

#endif
