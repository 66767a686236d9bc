// Command checkdocs checks what people read: Markdown files, and the prose in Go, SQL and YAML files.
//
//	checkdocs markdown|prose [-count] [ROOT]
//
// `markdown` reports broken relative links and anchors, missing blank lines around blocks, tables whose rows differ in
// length, code without a language, skipped heading levels, and documents that no other document links to. `prose` reports
// the words that the project does not use, in Markdown, in comments and in string literals; -count adds them up per
// folder. ROOT is the repository's folder. Only files that git knows or would add are read. The exit status is 1 when
// something was found.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A problem is one finding, at a line of a file.
type problem struct {
	file string // from the root, with slashes
	line int
	text string
}

func (p problem) String() string { return fmt.Sprintf("%s:%d: %s", p.file, p.line, p.text) }

// A source is a file with its content.
type source struct {
	name    string // from the root, with slashes
	content []byte
}

func main() {
	found, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "checkdocs:", err)
		os.Exit(2)
	}
	if found {
		os.Exit(1)
	}
}

// run runs the check that the arguments name and prints what it found.
func run(args []string) (found bool, err error) {
	if len(args) == 0 {
		return false, errors.New("which check? markdown or prose")
	}
	flags := flag.NewFlagSet("checkdocs "+args[0], flag.ContinueOnError)
	count := flags.Bool("count", false, "print the number of findings in each folder instead of the findings")
	if err := flags.Parse(args[1:]); err != nil {
		return false, err
	}
	root := "."
	if flags.NArg() > 0 {
		root = flags.Arg(0)
	}
	var problems []problem
	switch args[0] {
	case "markdown":
		files, err := read(root, ".md")
		if err != nil {
			return false, err
		}
		problems = checkMarkdown(root, files)
	case "prose":
		files, err := read(root, ".md", ".go", ".sql", ".yaml", ".yml")
		if err != nil {
			return false, err
		}
		problems = checkProse(files)
	default:
		return false, fmt.Errorf("no check is named %q: use markdown or prose", args[0])
	}
	if *count {
		printCounts(problems)
	} else {
		for _, p := range problems {
			fmt.Println(p)
		}
	}
	return len(problems) > 0, nil
}

// printCounts prints how many problems each folder has, the most first.
func printCounts(problems []problem) {
	counts := map[string]int{}
	for _, p := range problems {
		counts[filepath.ToSlash(filepath.Dir(p.file))]++
	}
	var folders []string
	for folder := range counts {
		folders = append(folders, folder)
	}
	slices.SortFunc(folders, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	for _, folder := range folders {
		fmt.Printf("%6d  %s\n", counts[folder], folder)
	}
	fmt.Printf("%6d  in all\n", len(problems))
}

// read returns the files under the root that git knows or would add and whose names end in one of the extensions.
func read(root string, extensions ...string) (files []source, err error) {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard") //nolint:noctx // ends with the program
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the files of %s with git: %w", root, err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		if !slices.Contains(extensions, filepath.Ext(name)) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, name)) //nolint:gosec // a file of the repository
		if errors.Is(err, os.ErrNotExist) {                    // deleted, and not committed yet
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, source{name, content})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no file of %s ends in %s", root, strings.Join(extensions, ", "))
	}
	return files, nil
}
