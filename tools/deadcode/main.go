// Command deadcode reports exported functions, methods, types, constants and variables that nothing uses, or that only tests
// use. golangci-lint finds the unexported ones.
//
//	deadcode [-allow FILE] [-tests PATH,…] PATTERN…
//
// The patterns are those of the go command. Packages at or below a PATH of -tests exist for tests: what they use counts as used by
// tests, and that is enough for their own code. Each line of the file of allowed names is one name, optionally followed by a
// reason after "#". A line that allows nothing is a finding, too. The exit status is 1 when something was found. Generated files
// and test files are not examined.
//
// A method counts as used when some interface has a method of its name and the type has all methods of that interface.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	allow := flag.String("allow", "", "`file` of names that may be unused")
	tests := flag.String("tests", "", "import `paths` of packages that exist for tests, with commas between them")
	pages := flag.String("templates", "", "`folder` of templates, in the folder of the package whose methods they call")
	flag.Parse()
	found, err := run(*allow, *pages, strings.Split(*tests, ","), "", flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "deadcode:", err)
		os.Exit(2)
	}
	for _, line := range found {
		fmt.Println(line)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}

// run returns one line for each finding in the packages of a folder; an empty folder is the working directory.
func run(allow, pages string, tests []string, dir string, patterns []string) ([]string, error) {
	allowed, err := readAllowed(allow)
	if err != nil {
		return nil, err
	}
	c, err := load(tests, dir, patterns)
	if err != nil {
		return nil, err
	}
	dead := c.dead()
	if err := calledByTemplates(dead, pages); err != nil {
		return nil, err
	}
	return allowed.apply(dead), nil
}

var templateName = regexp.MustCompile(`[.$]([A-Z]\w*)`)

// calledByTemplates removes the methods of the templates' package whose names the templates have.
func calledByTemplates(dead map[string]string, folder string) error {
	if folder == "" {
		return nil
	}
	called := map[string]bool{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path) // #nosec G304,G122 -- the templates of this repository
		for _, name := range templateName.FindAllStringSubmatch(string(text), -1) {
			called[name[1]] = true
		}
		return err
	})
	for name := range dead {
		if strings.Contains(name, "/"+filepath.Base(filepath.Dir(folder))+".") && called[name[strings.LastIndex(name, ".")+1:]] {
			delete(dead, name)
		}
	}
	return err
}
