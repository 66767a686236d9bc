// Command testcount adds up the results of several `go test -json` runs and closes with one line: "12 passed, 0 failed".
//
//	testcount [-status N] FILE…
//
// Tests and subtests count alike. A test that began and never ended counts as failed, and so does a package that failed
// without a failed test, because it did not build or its process died, and a run that left no result at all. The exit
// status is 1 when something failed or nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
)

func main() {
	status := flag.Int("status", 0, "the worst exit `status` of the runs: not 0 is at least one failure")
	flag.Parse()
	var total counts
	for _, name := range flag.Args() {
		total.add(name, readFile(name))
	}
	if !total.report(os.Stdout, *status) {
		os.Exit(1)
	}
}

// event is the part of test2json's output that is counted; see `go doc cmd/test2json`.
type event struct {
	Action  string
	Package string
	Test    string // empty: the event is about the package
}

// run is one run of `go test`: the last action of every test and of every package.
type run struct {
	tests    map[testID]string
	packages map[string]string
	err      error // the file is unreadable
}

type testID struct{ pkg, name string }

func readFile(name string) run {
	file, err := os.Open(name)
	if err != nil {
		return run{err: err}
	}
	defer func() { _ = file.Close() }() // only read
	return read(file)
}

func read(r io.Reader) run {
	result := run{tests: make(map[testID]string), packages: make(map[string]string)}
	decoder := json.NewDecoder(bufio.NewReader(r))
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return result
		} else if err != nil {
			result.err = err
			return result
		}
		switch e.Action {
		case "run", "pass", "fail", "skip":
		default: // start, output, pause, cont, bench, build-output and build-fail say nothing of a result
			continue
		}
		if e.Test == "" {
			result.packages[e.Package] = e.Action
		} else {
			result.tests[testID{e.Package, e.Test}] = e.Action
		}
	}
}

// counts is the sum over all runs.
type counts struct {
	passed, failed, skipped int
	notes                   []string // what the plain numbers do not tell
}

func (c *counts) add(name string, r run) {
	if r.err != nil {
		c.failed++
		c.notes = append(c.notes, fmt.Sprintf("%s: %v", name, r.err))
	} else if len(r.packages) == 0 {
		c.failed++
		c.notes = append(c.notes, name+": no package was tested")
	}
	red := make(map[string]bool) // packages with a failed test
	for id, action := range r.tests {
		switch action {
		case "pass":
			c.passed++
		case "skip":
			c.skipped++
			c.notes = append(c.notes, fmt.Sprintf("%s: %s was skipped", id.pkg, id.name))
		case "fail":
			c.failed++
			red[id.pkg] = true
		default:
			c.failed++
			red[id.pkg] = true
			c.notes = append(c.notes, fmt.Sprintf("%s: %s began and never ended", id.pkg, id.name))
		}
	}
	for pkg, action := range r.packages {
		if action == "fail" && !red[pkg] {
			c.failed++
			c.notes = append(c.notes, pkg+": failed outside its tests; see its output above")
		}
	}
}

// report writes the notes and the closing line, and reports whether everything passed.
func (c *counts) report(w io.Writer, status int) bool {
	if status != 0 && c.failed == 0 {
		c.failed = 1
		c.notes = append(c.notes, fmt.Sprintf("a run ended with status %d without naming a failure; see its output above", status))
	}
	slices.Sort(c.notes)
	for _, note := range c.notes {
		fmt.Fprintln(w, note)
	}
	skipped := ""
	if c.skipped > 0 {
		skipped = fmt.Sprintf(", %d skipped", c.skipped)
	}
	fmt.Fprintf(w, "%d passed, %d failed%s\n", c.passed, c.failed, skipped)
	return c.failed == 0 && c.passed > 0
}
