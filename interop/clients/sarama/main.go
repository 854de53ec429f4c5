// sarama's hands: `sarama BOOTSTRAP` carries out operations, a line of JSON each (interop/src/driver.rs);
// `sarama member DESCRIPTION` is a member of a group (interop/src/members.rs).
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/IBM/sarama"
)

var errNotOffered = errors.New("sarama has no means for this")

func main() {
	log.SetOutput(os.Stderr)
	if os.Args[1] == "member" {
		if err := member(os.Args[2]); err != nil {
			log.Fatal(err)
		}
		return
	}
	h := &hands{bootstrap: os.Args[1]}
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := answers.Encode(answer(h, line)); err != nil {
			log.Fatal(err)
		}
	}
}

func answer(h *hands, line []byte) map[string]any {
	var asked asked
	if err := json.Unmarshal(line, &asked); err != nil {
		return map[string]any{"failed": err.Error()}
	}
	operation, found := operations[asked.Op]
	if !found {
		return map[string]any{}
	}
	result, err := operation(h, &asked)
	if err == nil {
		return map[string]any{"ok": result}
	}
	if errors.Is(err, errNotOffered) {
		return map[string]any{}
	}
	log.Print(asked.Op, ": ", err)
	if code, known := codeOf(err); known {
		return map[string]any{"refused": code, "failed": err.Error()}
	}
	return map[string]any{"failed": fmt.Sprintf("%T: %v", err, err)}
}

// codeOf is Kafka's error code in an error of sarama's.
func codeOf(err error) (int, bool) {
	var code sarama.KError
	if errors.As(err, &code) {
		return int(code), true
	}
	var topic *sarama.TopicError
	if errors.As(err, &topic) {
		return int(topic.Err), true
	}
	var partitions *sarama.TopicPartitionError
	if errors.As(err, &partitions) {
		return int(partitions.Err), true
	}
	var many sarama.ProducerErrors
	if errors.As(err, &many) && len(many) > 0 {
		return codeOf(many[0].Err)
	}
	return 0, false
}
