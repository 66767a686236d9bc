package reference

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// indentedJSON writes a value of the document as JSON, with the members of objects in the order of the document.
func indentedJSON(n *yaml.Node) (string, error) {
	var plain, indented bytes.Buffer
	if err := writeJSON(&plain, n); err != nil {
		return "", err
	}
	err := json.Indent(&indented, plain.Bytes(), "", "  ")
	return indented.String(), err
}

func writeJSON(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		return writeAll(b, "{}", len(n.Content)/2, func(i int) error {
			if err := writeScalar(b, n.Content[2*i].Value); err != nil {
				return err
			}
			b.WriteByte(':')
			return writeJSON(b, n.Content[2*i+1])
		})
	case yaml.SequenceNode:
		return writeAll(b, "[]", len(n.Content), func(i int) error { return writeJSON(b, n.Content[i]) })
	case yaml.ScalarNode:
		var value any
		if err := n.Decode(&value); err != nil {
			return err
		}
		return writeScalar(b, value)
	}
	return fmt.Errorf("line %d: JSON has nothing like this", n.Line)
}

// writeAll writes the parts between two brackets, separated by commas.
func writeAll(b *bytes.Buffer, brackets string, parts int, write func(i int) error) error {
	b.WriteByte(brackets[0])
	for i := range parts {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := write(i); err != nil {
			return err
		}
	}
	b.WriteByte(brackets[1])
	return nil
}

func writeScalar(b *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
