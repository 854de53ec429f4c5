// The scenarios for franz-go: `franz-go BOOTSTRAP`.
//
// Reads a scenario's name from a line of standard input, runs it, answers with a line: `passed`, `not offered`, or
// `failed: REASON`; see interop/src/driver.rs.
package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"strings"
)

type scenario func(*kafka) error

func main() {
	k, err := connect(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scenarios := map[string]scenario{}
	for _, some := range []map[string]scenario{readingAndWriting, offsets, administering, configuring, lasting, restarting} {
		maps.Copy(scenarios, some)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(run(scenarios[lines.Text()], k))
	}
}

func run(s scenario, k *kafka) string {
	if s == nil {
		return "not offered"
	}
	if err := s(k); err != nil {
		return "failed: " + strings.Join(strings.Fields(err.Error()), " ")
	}
	return "passed"
}
