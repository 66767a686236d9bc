package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// update rewrites the reference of the commands: go test ./cmd/quartermaster -run TestTheDocumentListsEveryCommand -update.
var update = flag.Bool("update", false, "write the reference of the commands in docs/cli.md")

const (
	cliDocument    = "../../docs/cli.md"
	referenceTitle = "## Every command\n"
)

// reference is the last section of docs/cli.md: every command, group by group.
func reference(t *testing.T) string {
	t.Helper()
	parser, err := newParser()
	require.NoError(t, err)
	var text strings.Builder
	text.WriteString(referenceTitle)
	for _, group := range groups {
		fmt.Fprintf(&text, "\n**%s**\n\n| command | what it does |\n|---|---|\n", group.Title)
		for _, node := range parser.Model.Leaves(true) {
			if node.ClosestGroup().Key == group.Key {
				fmt.Fprintf(&text, "| `%s` | %s |\n", commandOf(node), strings.ReplaceAll(node.Help, "|", `\|`))
			}
		}
	}
	return text.String()
}

func commandOf(node *kong.Node) string {
	words := node.Name
	for parent := node.Parent; parent != nil; parent = parent.Parent {
		words = parent.Name + " " + words
	}
	return words
}

func TestTheDocumentListsEveryCommand(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(cliDocument)
	require.NoError(t, err)
	before, _, _ := strings.Cut(string(text), referenceTitle)
	if *update {
		require.NoError(t, os.WriteFile(cliDocument, []byte(before+reference(t)), 0o600))
		return
	}
	require.Equal(t, before+reference(t), string(text), "run the test with -update")
}
