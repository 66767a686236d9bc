//go:build unix

package child

import (
	"errors"
	"os"
	"syscall"
)

// Freeze stops the program where it is (SIGSTOP), as a machine that is paused does: its connections stay open, and it
// neither reads nor answers. Kill ends a frozen program, Stop needs a Thaw first.
func (p *Process) Freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen program go on. For one that is not frozen, or has ended, it does nothing.
func (p *Process) Thaw() error {
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
