package stack

import (
	"context"
	"os/exec"
)

// Command is the program with the stack's environment.
func (s *Stack) Command(ctx context.Context, args ...string) *exec.Cmd {
	return s.command(ctx, args...)
}

// FreePort is a port of the loopback that no one listens on.
func FreePort(ctx context.Context) (int, error) { return freePort(ctx, 0, false) }
