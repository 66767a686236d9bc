package stack

import (
	"context"
	"os/exec"
)

// Command returns a command of quartermaster with the environment of the stack.
func (s *Stack) Command(ctx context.Context, args ...string) *exec.Cmd {
	return s.command(ctx, args...)
}

// FreePort returns a loopback port that no one listens on.
func FreePort(ctx context.Context) (int, error) { return freePort(ctx, 0, false) }
