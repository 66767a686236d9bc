package temporal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"quartermaster/dev/child"
)

const (
	// cpuPerPackage is what a package of the server takes to compile, on average: 13 CPU-minutes for 1,782 of them.
	cpuPerPackage = 440 * time.Millisecond
	// linkTime is what comes after the last package.
	linkTime = 15 * time.Second
	// terminalEvery and logEvery are how often progress is shown: by rewriting a line of a terminal, or by a line more.
	terminalEvery = time.Second
	logEvery      = 15 * time.Second
)

// build compiles the program and moves it to path atomically, so that no process ever sees an incomplete file.
func (k keeper) build(ctx context.Context, path string) error {
	began := time.Now()
	fmt.Fprintln(k.progress, "The Temporal server is not compiled yet; counting what there is to do …")
	total, err := k.toCompile(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(k.progress, "Compiling the Temporal server, once (packages: %d): about %s on %d cores. The program is kept in %s.\n",
		total, estimate(total, runtime.NumCPU()), runtime.NumCPU(), k.dir)

	temporary, err := os.CreateTemp(k.dir, compilingPrefix+"*")
	if err != nil {
		return fmt.Errorf("no place to keep the Temporal server: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // it does not exist any more when everything succeeded
	if err := temporary.Close(); err != nil {
		return fmt.Errorf("no place to keep the Temporal server: %w", err)
	}
	log := &buildLog{}
	stop := k.show(log, total)
	// Flags that change how packages are compiled (-trimpath, -tags) would make Go compile all 1,782 of them for this
	// program alone; those of the linker do not.
	err = k.goTool(ctx, log, "build", "-v", "-ldflags=-s -w", "-o", temporary.Name(), ".")
	stop()
	if err != nil {
		return fmt.Errorf("cannot compile the Temporal server in %s: %w\n%s", k.source, err, log.rest())
	}
	if err := os.Chmod(temporary.Name(), 0o755); err != nil { //nolint:gosec // a program
		return fmt.Errorf("cannot keep the Temporal server: %w", err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return fmt.Errorf("cannot keep the Temporal server: %w", err)
	}
	fmt.Fprintf(k.progress, "Compiled the Temporal server in %s.\n", time.Since(began).Round(time.Second))
	return nil
}

// toCompile counts the packages that Go's build cache does not hold. It downloads the modules on the way.
func (k keeper) toCompile(ctx context.Context) (int, error) {
	log := &buildLog{}
	stop := k.show(log, 0)
	defer stop()
	var listed bytes.Buffer
	log.output = &listed
	if err := k.goTool(ctx, log, "list", "-deps", "-f", "{{if .Stale}}stale{{end}}", "."); err != nil {
		return 0, fmt.Errorf("cannot list the packages of the Temporal server in %s: %w\n%s", k.source, err, log.rest())
	}
	return strings.Count(listed.String(), "stale"), nil
}

// goTool runs the go command in the server's module. log receives its standard error.
func (k keeper) goTool(ctx context.Context, log *buildLog, arguments ...string) error {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = k.source
	cmd.Env = append(cmd.Environ(), "GOWORK=off") // the module is nested on purpose: no workspace knows it
	cmd.Stderr = log
	if log.output != nil {
		cmd.Stdout = log.output
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	err := child.Run(cmd)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: install Go, or set %s to a Temporal CLI", err, ProgramVariable)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	return err
}

// show writes the progress of a go command repeatedly until the returned function is called.
func (k keeper) show(log *buildLog, total int) (stop func()) {
	every, format, end := logEvery, "%s\n", ""
	if terminal(k.progress) {
		every, format, end = terminalEvery, "\r\x1b[K%s", "\r\x1b[K"
	}
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(k.progress, end)
				return
			case <-ticker.C:
				if state := log.state(total); state != "" {
					fmt.Fprintf(k.progress, format, state)
				}
			}
		}
	}()
	return func() { close(done); <-stopped }
}

// terminal reports whether w is a terminal, on which lines can be rewritten.
func terminal(w any) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// estimate returns roughly how long that many packages take to compile on that many cores.
func estimate(packages, cores int) string {
	d := linkTime + time.Duration(packages)*cpuPerPackage/time.Duration(max(cores, 1))
	if d < 2*time.Minute {
		return fmt.Sprintf("%d seconds", int(d.Round(10*time.Second).Seconds()))
	}
	return fmt.Sprintf("%d minutes", int(d.Round(time.Minute).Minutes()))
}

// buildLog reads what the go command writes to standard error: modules that it downloads, packages that it has compiled
// (`go build -v`), and other lines, which are errors.
type buildLog struct {
	output *bytes.Buffer // standard output of the command; nil to drop it

	mu         sync.Mutex
	partial    []byte
	others     []string
	compiled   int
	downloaded int
}

// Write adds output of the command.
func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.partial = rest
		l.line(strings.TrimRight(string(line), "\r"))
	}
}

func (l *buildLog) line(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		l.downloaded++
	case line != "" && !strings.ContainsAny(line, " \t"): // an import path
		l.compiled++
	default:
		l.others = append(l.others, line)
	}
}

// state describes the progress of the command; "" while there is none.
func (l *buildLog) state(total int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case total > 0 && l.compiled >= total-1: // the program's own package is named when it begins
		return "Linking the Temporal server …"
	case l.compiled > 0:
		return fmt.Sprintf("Compiling the Temporal server: %d of %d packages", l.compiled, total)
	case l.downloaded > 0:
		return fmt.Sprintf("Downloading the sources of the Temporal server: %d modules so far", l.downloaded)
	}
	return ""
}

// rest returns the output that is not progress.
func (l *buildLog) rest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(strings.Join(l.others, "\n") + "\n" + string(l.partial))
}
