package child

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChildDoesNotOutliveAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	parent, line := setup(t, parents)
	var pid int
	_, err := fmt.Sscan(line, &pid)
	require.NoError(t, err, line)
	require.False(t, gone(pid))

	require.NoError(t, parent.Kill())

	require.Eventually(t, func() bool { return gone(pid) }, grace, 10*time.Millisecond)
}

// For Linux the parent of a child is a thread. If it were the thread that calls Start, the child would die with that thread.
func TestChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	t.Parallel()
	cmd := command(t.Context(), obeys)
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	type result struct {
		process *Process
		err     error
		thread  int
	}
	results := make(chan result)
	var start func()
	start = func() {
		runtime.LockOSThread() // and never unlock: Go ends the thread with the goroutine
		if syscall.Gettid() == syscall.Getpid() {
			// The main thread is the only one that Go never ends.
			next := make(chan struct{})
			go func() { defer close(next); start() }()
			<-next
			runtime.UnlockOSThread()
			return
		}
		process, err := Start(cmd)
		results <- result{process, err, syscall.Gettid()}
	}
	go start()
	r := <-results
	require.NoError(t, r.err)
	t.Cleanup(func() { require.NoError(t, r.process.Kill()) })
	require.Eventually(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", r.thread))
		return os.IsNotExist(err)
	}, grace, 10*time.Millisecond, "the thread ends")

	_, err = bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err, "it lives until it is ready")
	require.NoError(t, r.process.Stop(grace))
	require.NoError(t, r.process.Wait(), "it was not killed")
}

func TestChildHasAProcessGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	p, _ := setup(t, obeys)
	group, err := syscall.Getpgid(p.PID())
	require.NoError(t, err)
	require.Equal(t, p.PID(), group, "a Ctrl-C in the terminal goes to another group")
}

// gone reports whether a process has ended. It may remain a zombie where no process reaps orphans.
func gone(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || strings.Contains(string(status), "State:\tZ")
}
