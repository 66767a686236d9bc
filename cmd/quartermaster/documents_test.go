package main

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

var (
	codeInDocument    = regexp.MustCompile("(?s)```[a-z]*\n.*?```|`[^`]+`")
	commandInDocument = regexp.MustCompile(`\bquartermaster ([a-z]+(?:-[a-z]+)*)\b([^\n|#]*)`)
	flagInDocument    = regexp.MustCompile(`--([a-z][a-z-]*)`)
	envInDocument     = regexp.MustCompile(`\bQM_[A-Z_]*[A-Z]`)
)

func TestTheDocumentsNameCommandsOptionsAndVariablesThatExist(t *testing.T) {
	t.Parallel()
	parser, err := newParser()
	require.NoError(t, err)
	variables := variablesOf(parser.Model.Node)
	variables[keyVariable] = true // no option: other users of a machine can read command lines
	commands := 0
	for name, document := range documents(t) {
		for _, variable := range envInDocument.FindAllString(document, -1) {
			if !variables[strings.TrimSuffix(variable, "_FILE")] {
				t.Errorf("%s: no option is set by %s", name, variable)
			}
		}
		for _, code := range codeInDocument.FindAllString(document, -1) {
			for _, match := range commandInDocument.FindAllStringSubmatch(code, -1) {
				commands++
				if problem := unknown(parser.Model.Node, match[1], match[2]); problem != "" {
					t.Errorf("%s: quartermaster %s%s: %s", name, match[1], match[2], problem)
				}
			}
		}
	}
	require.Greater(t, commands, 20, "the documents were not found")
}

// unknown says what is wrong with a command line in a document; empty: nothing.
func unknown(root *kong.Node, command, arguments string) string {
	node := child(root, command)
	if node == nil {
		return "there is no command " + command
	}
	if len(node.Children) > 0 {
		words := strings.Fields(arguments)
		if len(words) == 0 {
			return ""
		}
		sub := cmp.Or(child(node, strings.Trim(words[0], "`.,")), node.DefaultCmd)
		if sub == nil {
			return "the command " + command + " has no command " + words[0]
		}
		node = sub
	}
	for _, flag := range flagInDocument.FindAllStringSubmatch(arguments, -1) {
		found := false
		for n := node; n != nil; n = n.Parent {
			for _, known := range n.Flags {
				found = found || known.Name == flag[1]
			}
		}
		if !found {
			return "there is no option --" + flag[1]
		}
	}
	return ""
}

func child(node *kong.Node, name string) *kong.Node {
	for _, c := range node.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// variablesOf returns the environment variables that set an option of the command or of one below it.
func variablesOf(node *kong.Node) map[string]bool {
	variables := map[string]bool{}
	for _, flag := range node.Flags {
		for _, name := range flag.Envs {
			variables[name] = true
		}
	}
	for _, c := range node.Children {
		for name := range variablesOf(c) {
			variables[name] = true
		}
	}
	return variables
}

// documents returns the Markdown files for the people who run Quartermaster, by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	contents := map[string]string{}
	for _, pattern := range []string{"../../README.md", "../../SECURITY.md", "../../docs/*.md", "../../docs/operations/*.md"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, names, pattern)
		for _, name := range names {
			content, err := os.ReadFile(name)
			require.NoError(t, err)
			contents[strings.TrimPrefix(name, "../../")] = string(content)
		}
	}
	return contents
}
