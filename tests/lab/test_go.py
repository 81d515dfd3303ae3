# SPDX-License-Identifier: MIT
"""A program in Go, built with its standard library alone, as a function of a provided runtime."""
import json
import os
import subprocess

from test_invoke import call

PROGRAM = r"""
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
)

var api = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"

type event struct{ A, B int }

func next() (string, []byte, http.Header) {
	answer, err := http.Get(api + "invocation/next")
	if err != nil {
		os.Exit(1)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.Header.Get("Lambda-Runtime-Aws-Request-Id"), body, answer.Header
}

func post(path string, v any) {
	body, _ := json.Marshal(v)
	answer, err := http.Post(api+path, "application/json", bytes.NewReader(body))
	if err == nil {
		answer.Body.Close()
	}
}

func main() {
	calls := 0
	for {
		id, body, header := next()
		var e event
		calls++
		if err := json.Unmarshal(body, &e); err != nil {
			post("invocation/"+id+"/error", map[string]string{"errorType": "BadEvent", "errorMessage": err.Error()})
			continue
		}
		println("adding", e.A, e.B)
		post("invocation/"+id+"/response", map[string]any{"sum": e.A + e.B, "calls": calls,
			"arn": header.Get("Lambda-Runtime-Invoked-Function-Arn"), "region": os.Getenv("AWS_REGION")})
	}
}
"""


def test_a_go_program_is_a_function(product, tmp_path):
    (tmp_path / "main.go").write_text(PROGRAM)
    code = tmp_path / "code"
    code.mkdir()
    subprocess.run(["/usr/bin/go", "build", "-o", str(code / "bootstrap"), str(tmp_path / "main.go")], check=True,
                   env={**os.environ, "GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off", "GOPROXY": "off"})
    product.up({"version": 1, "lab": "go", "functions": {
        "adder": {"runtime": "provided.al2023", "handler": "bootstrap", "code": str(code), "memory_size": 512, "timeout": 20}}})
    for n in (1, 2):
        status, headers, body = call(product, "adder", json.dumps({"A": n, "B": 40}).encode(), "go")
        assert status == 200 and json.loads(body) == {
            "sum": 40 + n, "calls": n, "region": "us-east-1", "arn": "arn:aws:lambda:us-east-1:123456789012:function:adder"}
    status, headers, body = call(product, "adder", b'"no object"', "go")
    assert headers["x-amz-function-error"] == "Unhandled" and json.loads(body)["errorType"] == "BadEvent"
    assert product.vpclab("logs", "go", "adder", check=0).out.count("adding") == 2
