package temporal

import (
	"os/exec"
	"runtime"
)

// startChild starts cmd, and calls ended with its fate when it is over.
//
// The system kills the child when the *thread* that started it ends (see childAttributes), not the process, and Go ends
// threads as it likes. So one goroutine keeps its thread to itself from the child's start to its end.
func startChild(cmd *exec.Cmd, ended func(error)) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended(cmd.Wait())
		}
	}()
	return <-started
}

// runChild runs cmd to its end.
func runChild(cmd *exec.Cmd) error {
	fate := make(chan error, 1)
	if err := startChild(cmd, func(err error) { fate <- err }); err != nil {
		return err
	}
	return <-fate
}
