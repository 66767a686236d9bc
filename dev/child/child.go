package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a running program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex
	ended bool
	asked bool  // Stop or Kill was called before the end
	fate  error // how it ended; nil is exit status 0
}

// Start starts the program. It runs until it exits, until Stop or Kill, until the command's context ends, or, on Linux, until
// this process ends for any reason. A Ctrl-C in the terminal does not reach it; the caller stops it. Start closes the closers, such
// as the log that the program writes to, when the program has ended or cannot be started.
func Start(cmd *exec.Cmd, closers ...io.Closer) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	bindToParent(cmd.SysProcAttr)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	// Linux kills the child when the *thread* that started it ends, not the process, and Go may end a thread at any time. So one
	// goroutine locks its thread from the child's start to its end.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
		}
		for _, closer := range closers {
			_ = closer.Close() // this process wrote nothing to it
		}
		p.end(err)
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	return p, nil
}

// Run runs the program to its end. It returns nil for exit status 0.
func Run(cmd *exec.Cmd) error {
	p, err := Start(cmd)
	if err != nil {
		return err
	}
	return p.Wait()
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running reports whether the program has not ended yet.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ended
}

// Done returns a channel that is closed when the program has ended for any reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the program has ended. It returns nil for exit status 0.
func (p *Process) Wait() error {
	<-p.done
	return p.fate
}

// Err returns how the program ended without Stop or Kill; exit status 0 is an error then, too. It returns nil while the program
// runs and after Stop and Kill.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.ended || p.asked:
		return nil
	case p.fate == nil:
		return errors.New("exit status 0")
	}
	return p.fate
}

// Stop asks the program to end (SIGTERM), waits for the grace period, then kills it. Having to kill it is an error, and so is an
// exit status other than 0. Stopping a program that has ended does nothing.
func (p *Process) Stop(grace time.Duration) error {
	if !p.ask() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(fmt.Errorf("could not be asked to stop and was killed: %w", err), p.Kill())
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		return errors.Join(fmt.Errorf("did not stop within %s and was killed", grace), p.Kill())
	}
	if p.fate != nil {
		return fmt.Errorf("did not stop cleanly: %w", p.fate)
	}
	return nil
}

// Signal sends the program a signal.
func (p *Process) Signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

// Kill ends the program immediately (SIGKILL), as a crash would, and returns when it has ended.
func (p *Process) Kill() error {
	p.ask()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot be killed: %w", err)
	}
	<-p.done
	return nil
}

// ask records that the end of the program is intended, and reports whether it still runs.
func (p *Process) ask() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.asked = true
	return true
}

func (p *Process) end(fate error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fate, p.ended = fate, true
	close(p.done)
}
