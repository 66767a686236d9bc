package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Machine describes when, on what and with which versions the figures were measured.
func Machine(ctx context.Context, began time.Time) string {
	version := func(name string, args ...string) string {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("Measured on %s in %s, commit %s, %s, %d cores (%s), %s.", began.Format(time.DateOnly),
		time.Since(began).Round(time.Second), version("git", "rev-parse", "--short", "HEAD"), runtime.Version(), runtime.NumCPU(), processor(),
		version("uname", "-sr"))
}

// processor returns the model of the first core.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// Insert replaces what a document has between the markers of a section.
func Insert(file, section, text string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := []byte("<!-- "+section+" -->\n"), []byte("<!-- /"+section+" -->\n")
	before, rest, found := bytes.Cut(document, begin)
	_, after, ended := bytes.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no markers %s and %s", file, bytes.TrimSpace(begin), bytes.TrimSpace(end))
	}
	out := bytes.Join([][]byte{before, begin, []byte("\n" + strings.TrimSpace(text) + "\n\n"), end, after}, nil)
	return os.WriteFile(file, out, 0o600) //nolint:gosec // the person who runs the benchmark names the file
}
