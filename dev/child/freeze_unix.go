//go:build unix

package child

import (
	"errors"
	"os"
	"syscall"
)

// Freeze pauses the program (SIGSTOP), like a paused virtual machine: its connections stay open, and it neither reads nor answers.
// Kill ends a frozen program; Stop needs a Thaw first.
func (p *Process) Freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw resumes a frozen program. It does nothing when the program is not frozen or has ended.
func (p *Process) Thaw() error {
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
