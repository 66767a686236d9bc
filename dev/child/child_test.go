package child

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// roleVariable makes this test binary a program with the behavior that it names.
const roleVariable = "CHILD_TEST_ROLE"

const (
	obeys    = "obeys"    // ends with exit status 0 on SIGTERM
	grumbles = "grumbles" // ends with exit status 3 on SIGTERM
	defies   = "defies"   // ignores SIGTERM
	succeeds = "succeeds" // ends at once with exit status 0
	fails    = "fails"    // ends at once with exit status 3
	parents  = "parents"  // starts a child that defies, prints its process id, and waits
)

// grace is long enough for every program that ends on request.
const grace = 20 * time.Second

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	os.Exit(play(role))
}

// play is the program. It prints a line when it is ready for signals, and returns its exit status.
func play(role string) int {
	asked, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch role {
	case succeeds:
		return 0
	case fails:
		return 3
	case parents:
		p, err := Start(command(context.Background(), defies))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(p.PID())
		<-p.Done()
		return 1
	}
	fmt.Println("ready")
	<-asked.Done()
	switch role {
	case obeys:
		return 0
	case grumbles:
		return 3
	}
	select {}
}

func command(ctx context.Context, role string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// setup starts the program and returns when it is ready, with the line that it printed.
func setup(t *testing.T, role string) (p *Process, line string) {
	t.Helper()
	cmd := command(t.Context(), role)
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	p, err = Start(cmd)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Kill()) })
	line, err = bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	return p, line
}

// closer records that it was closed.
type closer struct{ closed bool }

func (c *closer) Close() error { c.closed = true; return nil }

func TestStopEndsTheProgram(t *testing.T) {
	t.Parallel()
	p, _ := setup(t, obeys)
	require.NoError(t, p.Err(), "it runs")

	require.NoError(t, p.Stop(grace))

	select {
	case <-p.Done():
	default:
		require.Fail(t, "Stop returned before the program ended")
	}
	require.NoError(t, p.Wait(), "exit status 0")
	require.NoError(t, p.Err())
	require.NoError(t, p.Stop(grace), "stopping twice is no error")
}

func TestStopReportsABadExitStatus(t *testing.T) {
	t.Parallel()
	p, _ := setup(t, grumbles)

	require.EqualError(t, p.Stop(grace), "did not stop cleanly: exit status 3")
	require.NoError(t, p.Err(), "its end was asked for")
}

func TestStopKillsAProgramThatDoesNotStop(t *testing.T) {
	t.Parallel()
	p, _ := setup(t, defies)

	require.EqualError(t, p.Stop(50*time.Millisecond), "did not stop within 50ms and was killed")

	require.EqualError(t, p.Wait(), "signal: killed")
	require.NoError(t, p.Err())
}

func TestKillReturnsWhenTheProgramIsGone(t *testing.T) {
	t.Parallel()
	p, _ := setup(t, defies)

	require.NoError(t, p.Kill())

	require.EqualError(t, p.Wait(), "signal: killed")
	require.NoError(t, p.Err(), "its end was asked for")
	require.NoError(t, p.Kill(), "killing twice is no error")
}

func TestErrReportsAnUnexpectedEnd(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]string{succeeds: "exit status 0", fails: "exit status 3"} {
		p, err := Start(command(t.Context(), role))
		require.NoError(t, err)
		<-p.Done()
		require.EqualError(t, p.Err(), want)
		require.NoError(t, p.Stop(grace), "there is nothing left to stop")
		require.EqualError(t, p.Err(), want, "and that was not what ended it")
	}
}

func TestRunReturnsHowTheProgramEnded(t *testing.T) {
	t.Parallel()
	require.NoError(t, Run(command(t.Context(), succeeds)))
	require.EqualError(t, Run(command(t.Context(), fails)), "exit status 3")
	require.ErrorIs(t, Run(exec.CommandContext(t.Context(), "no-such-program")), exec.ErrNotFound)
}

func TestStartClosesItsClosers(t *testing.T) {
	t.Parallel()
	log := &closer{}
	p, err := Start(command(t.Context(), succeeds), log)
	require.NoError(t, err)
	<-p.Done()
	require.True(t, log.closed)

	log = &closer{}
	_, err = Start(exec.CommandContext(t.Context(), "no-such-program"), log)
	require.ErrorIs(t, err, exec.ErrNotFound)
	require.True(t, log.closed)
}
