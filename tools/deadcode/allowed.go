package main

import (
	"maps"
	"os"
	"strings"
)

// allowed is the file of names that may be dead.
type allowed struct {
	file  string
	names []string
}

func readAllowed(file string) (allowed, error) {
	if file == "" {
		return allowed{}, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return allowed{}, err
	}
	a := allowed{file: file}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, "#")
		if name = strings.TrimSpace(name); name != "" {
			a.names = append(a.names, name)
		}
	}
	return a, nil
}

// apply returns the findings that the file does not allow, and the lines of the file that allow nothing.
func (a allowed) apply(dead map[string]string) []string {
	left := maps.Clone(dead)
	var needless []string
	for _, name := range a.names {
		delete(left, name)
		if dead[name] == "" {
			needless = append(needless, a.file+": nothing dead is named "+name+": remove the line")
		}
	}
	return append(sorted(left), needless...)
}
