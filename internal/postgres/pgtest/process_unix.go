//go:build unix

package pgtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// process is a row of the process table.
type process struct {
	pid, parent int
	zombie      bool // ended, and only waits for its parent to notice
}

// processes reads the process table: from /proc on Linux, where small images have no ps, and from ps elsewhere.
func processes(ctx context.Context) ([]process, error) {
	if runtime.GOOS == "linux" {
		return readProc("/proc")
	}
	out, err := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	return parsePS(out)
}

func readProc(root string) ([]process, error) {
	files, err := filepath.Glob(filepath.Join(root, "[0-9]*", "stat"))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	table := make([]process, 0, len(files))
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // the process ended since the listing
		}
		// "pid (command) state ppid …": a command may hold spaces and brackets, so count from the last bracket.
		end := bytes.LastIndexByte(content, ')')
		fields := strings.Fields(string(content[end+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || len(fields) < 2 {
			return nil, fmt.Errorf("%s holds %q, which is not a process status", file, content)
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("%s holds the parent id %q: %w", file, fields[1], err)
		}
		table = append(table, process{pid: pid, parent: parent, zombie: fields[0] == "Z" || fields[0] == "X"})
	}
	return table, nil
}

func parsePS(out []byte) ([]process, error) {
	var table []process
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var row process
		var state string
		if _, err := fmt.Sscan(lines.Text(), &row.pid, &row.parent, &state); err != nil {
			return nil, fmt.Errorf("ps printed %q: %w", lines.Text(), err)
		}
		row.zombie = strings.HasPrefix(state, "Z")
		table = append(table, row)
	}
	return table, nil
}

// running reports whether a process with this id exists, of whichever user.
func running(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// watch starts a shell that waits for the end of its standard input, of which this process holds the only other end, and
// then asks the process pid to shut down. It is the parent-death signal for systems that have none.
func watch(pid int) (release func(), err error) {
	// A context would be wrong here: the shell has to outlive this process.
	shell := exec.Command("/bin/sh", "-c", `read -r _ || kill -INT "$1"`, "sh", strconv.Itoa(pid)) //nolint:noctx // see above
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := shell.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watch the server: %w", err)
	}
	if err := shell.Start(); err != nil {
		return nil, fmt.Errorf("watch the server: %w", err)
	}
	return func() {
		_ = shell.Process.Kill() // before the pipe closes, or it would take that for our end
		_ = input.Close()
		_ = shell.Wait()
	}, nil
}
