//go:build unix

package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// helperEnv makes this test program play the part of another process, which the tests then kill.
const helperEnv = "PGTEST_HELPER"

func TestMain(m *testing.M) {
	role := os.Getenv(helperEnv)
	if role == "" {
		Main(m)
	}
	if err := helper(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// helper starts what its role names, prints a line of facts and waits to be killed.
func helper(role string) error {
	kind, argument, _ := strings.Cut(role, "=")
	switch kind {
	case "server":
		server, err := Start(context.Background(), Options{})
		if err != nil {
			return err
		}
		fmt.Println(server.PID(), server.scratch)
	case "watch":
		pid, err := strconv.Atoi(argument)
		if err != nil {
			return err
		}
		if _, err := watch(pid); err != nil {
			return err
		}
		fmt.Println("watching")
	default:
		return fmt.Errorf("helper role %q is unknown", role)
	}
	select {}
}

// startHelper runs the helper and returns it with the words that it printed. It is killed when the test ends.
func startHelper(t *testing.T, role string) (*exec.Cmd, []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return cmd, strings.Fields(line)
}

// runSelf runs one test of this package in another process with more environment and returns what it printed.
func runSelf(t *testing.T, test string, env ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// eventually waits for what another process does.
func eventually(t *testing.T, condition func() bool, message string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 10*time.Millisecond, message)
}
