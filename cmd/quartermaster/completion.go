package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// The scripts ask the program itself for what fits, by completeCommand, so that they never differ from it.
var (
	//go:embed completion/bash.sh
	bashCompletion string
	//go:embed completion/zsh.sh
	zshCompletion string
	//go:embed completion/fish.sh
	fishCompletion string
)

type completionCommand struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Help says how to install the scripts.
func (completionCommand) Help() string {
	return "bash: quartermaster completion bash > ~/.local/share/bash-completion/completions/quartermaster. " +
		"zsh: quartermaster completion zsh > \"${fpath[1]}/_quartermaster\". " +
		"fish: quartermaster completion fish > ~/.config/fish/completions/quartermaster.fish."
}

// Run prints the script.
func (c *completionCommand) Run(e *env) error {
	_, err := io.WriteString(e.out, map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell])
	return err
}

// completeCommand is the hidden command by which the scripts ask. The words of the command line follow it; the last one is completed.
const completeCommand = "__complete"

// completionRequest returns the words of a command line that a script wants to have completed.
func completionRequest(args []string) (words []string, asked bool) {
	if len(args) < 2 || args[0] != completeCommand {
		return nil, false
	}
	return args[1:], true
}

// complete prints what fits in place of the last word: the candidate, a tab, and what it means.
func complete(root *kong.Node, words []string, out io.Writer) error {
	node, option := walk(root, words[:len(words)-1])
	word := words[len(words)-1]
	var candidates []string
	switch {
	case option != nil:
		candidates = valuesOf(option.Value)
	case strings.HasPrefix(word, "-"):
		if name, _, found := strings.Cut(word, "="); found {
			if flag := flagOf(node, name); flag != nil {
				for _, value := range valuesOf(flag.Value) {
					candidates = append(candidates, name+"="+value)
				}
			}
			break
		}
		for _, flag := range flagsOf(node) {
			candidates = append(candidates, "--"+flag.Name+"\t"+firstSentence(flag.Help))
		}
	default:
		for _, child := range node.Children {
			candidates = append(candidates, child.Name+"\t"+firstSentence(child.Help))
		}
		for _, positional := range node.Positional {
			candidates = append(candidates, valuesOf(positional)...)
		}
	}
	slices.Sort(candidates)
	for _, candidate := range candidates {
		if strings.HasPrefix(candidate, word) {
			if _, err := fmt.Fprintln(out, candidate); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk returns the command that the words lead to, and the option that still lacks its value.
func walk(root *kong.Node, words []string) (node *kong.Node, waiting *kong.Flag) {
	node = root
	for _, word := range words {
		switch {
		case waiting != nil:
			waiting = nil
		case strings.HasPrefix(word, "-"):
			if flag := flagOf(node, word); flag != nil && !flag.IsBool() && !flag.IsCounter() {
				waiting = flag
			}
		default:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word || slices.Contains(n.Aliases, word) }); i >= 0 {
				node = node.Children[i]
			}
		}
	}
	return node, waiting
}

// flagOf returns the option that a word names; nil: none.
func flagOf(node *kong.Node, word string) *kong.Flag {
	for _, flag := range flagsOf(node) {
		if word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

// flagsOf returns the options of a command and of those above it.
func flagsOf(node *kong.Node) (flags []*kong.Flag) {
	for ; node != nil; node = node.Parent {
		flags = append(flags, slices.DeleteFunc(slices.Clone(node.Flags), func(f *kong.Flag) bool { return f.Hidden })...)
	}
	return flags
}

// valuesOf returns the values that an option or argument may have, if they are few and known.
func valuesOf(value *kong.Value) []string {
	if value.Enum == "" {
		return nil
	}
	return slices.DeleteFunc(value.EnumSlice(), func(v string) bool { return v == "" })
}

// firstSentence returns the beginning of a help text.
func firstSentence(help string) string {
	sentence, _, _ := strings.Cut(help, ". ")
	return cmp.Or(strings.TrimSuffix(sentence, "."), help)
}

// unknownCommand adds to an error about a command what commands there are, unless the parser has a suggestion itself.
func unknownCommand(root *kong.Node, args []string, err error) error {
	if !strings.HasPrefix(err.Error(), "unexpected argument") || strings.Contains(err.Error(), "did you mean") {
		return err
	}
	node, _ := walk(root, args)
	if len(node.Children) == 0 {
		return err
	}
	names := make([]string, len(node.Children))
	for i, child := range node.Children {
		names[i] = child.Name
	}
	return fmt.Errorf("%w: use one of %s", err, strings.Join(names, ", "))
}
