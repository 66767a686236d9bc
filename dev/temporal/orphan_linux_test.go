package temporal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// launcherVariable makes this test binary start a server with the program that it names, print its address, and wait.
const launcherVariable = "TEMPORAL_TEST_LAUNCHER"

func TestMain(m *testing.M) {
	path := os.Getenv(launcherVariable)
	if path == "" {
		os.Exit(m.Run())
	}
	s, err := Start(context.Background(), path, Options{UIPort: -1})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.PID())
	<-s.Done()
}

func TestServerDoesNotOutliveItsParent(t *testing.T) {
	t.Parallel()
	path := program(t)
	launcher := exec.CommandContext(t.Context(), os.Args[0])
	launcher.Env = append(os.Environ(), launcherVariable+"="+path)
	output, err := launcher.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, launcher.Start())
	t.Cleanup(func() { _ = launcher.Process.Kill() })
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscan(line, &pid)
	require.NoError(t, err, strings.TrimSpace(line))
	require.NoError(t, syscall.Kill(pid, 0), "the server runs")

	require.NoError(t, launcher.Process.Kill())

	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 20*time.Millisecond)
	require.Error(t, launcher.Wait())
}

// gone reports whether a process has ended. It may remain a zombie where no process reaps orphans.
func gone(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || strings.Contains(string(status), "State:\tZ")
}
