// The scenarios for franz-go: `franz-go BOOTSTRAP`.
//
// Reads a scenario's name from a line of standard input, runs it, answers with a line: `passed`, `not offered`, or
// `failed: REASON`; or carries out an operation; see interop/src/driver.rs. `franz-go member DESCRIPTION` is a member of a
// group.
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
	if os.Args[1] == "member" {
		if err := member(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	k, err := connect(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scenarios := map[string]scenario{}
	for _, some := range []map[string]scenario{readingAndWriting, offsets, administering, configuring, lasting, restarting} {
		maps.Copy(scenarios, some)
	}
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "{") {
			fmt.Println(carryOut(k, []byte(line)))
		} else {
			fmt.Println(run(scenarios[strings.TrimSpace(line)], k))
		}
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
